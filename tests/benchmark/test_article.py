"""The article's loops are the article's, and its network is this project's under another name."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from medseg.benchmark import article
from medseg.benchmark.networks import article_config, build_article
from medseg.model.unet import build_unet


@pytest.fixture
def ours():
    torch.manual_seed(0)
    network = build_unet(article_config(2), 1, 3)
    for module in network.modules():  # statistics and weights that differ from channel to channel
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return network


def test_outputs_are_those_of_this_projects_network(ours):
    pictures = torch.rand(2, 1, 48, 32, dtype=torch.float64)
    theirs = build_article(ours.eval()).double()
    ours.double()
    with torch.no_grad():
        torch.testing.assert_close(theirs(pictures), ours(pictures).sigmoid(), rtol=1e-10, atol=1e-12)


def test_training_steps_are_those_of_this_projects_network(ours):
    pictures, labels = torch.rand(2, 1, 32, 32, dtype=torch.float64), (torch.rand(2, 3, 32, 32) > 0.5).double()
    theirs = build_article(ours.train()).double()
    ours.double()
    torch.manual_seed(1)  # for the channels that are dropped
    loss = nn.BCELoss()(theirs(pictures), labels)
    loss.backward()
    torch.manual_seed(1)
    own = nn.functional.binary_cross_entropy_with_logits(ours(pictures), labels)
    own.backward()
    torch.testing.assert_close(loss, own, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        theirs.c1.layer[0].weight.grad, ours.encoder[0].layer[0].weight.grad, rtol=1e-8, atol=1e-12
    )


def test_channels_are_the_articles():
    network = article.UNet()
    blocks = [getattr(network, f"c{number}") for number in range(1, 10)]
    assert [block.layer[0].out_channels for block in blocks] == [64, 128, 256, 512, 1024, 512, 256, 128, 64]
    assert [type(layer).__name__ for layer in network.c1.layer] == 2 * [
        "Conv2d",
        "BatchNorm2d",
        "Dropout2d",
        "LeakyReLU",
    ]
    assert network.c1.layer[2].p == 0.3
    assert network.c1.layer[0].padding_mode == network.d1.layer[0].padding_mode == "reflect"


@pytest.mark.slow
def test_training_loop_prints_saves_and_draws(tmp_path):
    torch.manual_seed(0)
    pictures, labels = torch.rand(7, 1, 32, 32), torch.zeros(7, 1, 32, 32)
    loader = DataLoader(TensorDataset(pictures, labels), batch_size=1, shuffle=False)
    network, log = article.UNet(1, 1, 2), io.StringIO()
    before = network.out.bias.detach().clone()
    steps = article.train(network, loader, torch.device("cpu"), tmp_path, log)
    assert [next(steps) for _ in range(14)] == list(range(1, 15))
    lines = log.getvalue().splitlines()
    assert [line.partition("-train_loss===>>")[0] for line in lines] == ["1--0", "1--5", "2--0", "2--5"]
    losses = [float(line.partition("===>>")[2]) for line in lines]
    assert losses[-1] < losses[0]
    assert not torch.equal(before, network.out.bias)
    saved = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert saved.keys() == network.state_dict().keys()
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"{i}.png" for i in range(7)]


def test_training_loop_without_a_folder_learns_the_same(tmp_path):
    learnt = []
    for folder in (None, tmp_path):
        torch.manual_seed(0)
        network = article.UNet(1, 1, 2)
        loader = [(torch.rand(1, 1, 32, 32), torch.zeros(1, 1, 32, 32))]
        steps = article.train(network, loader, torch.device("cpu"), folder, io.StringIO())
        assert [next(steps) for _ in range(3)] == [1, 2, 3]
        learnt.append(network.state_dict())
    torch.testing.assert_close(learnt[0], learnt[1], rtol=0, atol=0)


def test_strip_has_black_lines_of_two_pixels_as_torchvisions(tmp_path):
    pictures = torch.stack([torch.full((1, 3, 4), value) for value in (1.0, 0.5, 0.25)])
    article.save_image(pictures, tmp_path / "strip.png")
    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (3 + 4, 3 * (4 + 2) + 2, 3)
    assert strip[3, :, 0].tolist() == [0, 0, *4 * [255], 0, 0, *4 * [128], 0, 0, *4 * [64], 0, 0]
    assert not strip[[0, 1, -1, -2]].any()


def test_test_loop_writes_masks_of_the_original_size(tmp_path):
    (tmp_path / "test").mkdir()
    picture = np.zeros((40, 60), np.uint8)
    picture[:, 30:] = 250
    Image.fromarray(picture).save(tmp_path / "test" / "a.jpg", quality=100)
    seen = []

    def network(x):
        seen.append(x)
        return x / 255

    article.predict(network, torch.device("cpu"), tmp_path / "test", tmp_path / "pred", 32)
    assert [(tuple(x.shape), x.dtype) for x in seen] == [((1, 1, 32, 32), torch.float32)]
    mask = np.asarray(Image.open(tmp_path / "pred" / "a.png"))
    assert mask.shape == (40, 60)
    assert (mask[:, :28] == 0).all()
    assert (mask[:, 32:] == 255).all()
