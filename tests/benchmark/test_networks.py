import pytest
import torch
from torch import nn

from medseg.benchmark.article import UNet
from medseg.benchmark.networks import (
    article_config,
    fit_article,
    list_departures,
    stand_beside,
    widen,
)
from medseg.model.config import ModelConfig
from medseg.model.operations import count_gflop
from medseg.model.unet import build_unet


def count_by_hand(width: int, size: int, num_classes: int) -> float:
    """Two operations a weight and output pixel of every convolution of the article's network, 1e9."""
    found = []
    network = UNet(1, num_classes, width).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda m, _, out: found.append(2 * m.weight.numel() * out.shape[-1] * out.shape[-2])
            )
    with torch.no_grad():
        network(torch.zeros(1, 1, size, size))
    return sum(found) / 1e9


@pytest.mark.slow
@pytest.mark.parametrize(("width", "size"), [(2, 32), (4, 64)])
def test_work_is_that_of_the_convolutions(width, size):
    expected = count_by_hand(width, size, 3)
    network = UNet(1, 3, width)
    assert count_gflop(network, (1, size, size)) == pytest.approx(expected)
    first = 2 * 9 * width * size**2 / 1e9  # whose gradient by the picture nobody asks for
    assert count_gflop(network, (1, size, size), training=True) == pytest.approx(3 * expected - first)


def test_the_articles_work_at_its_own_size():
    assert count_gflop(UNet(1, 1, 64), (1, 512, 512)) == pytest.approx(404, rel=0.02)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_wider_network_computes_the_same(factor):
    torch.manual_seed(0)
    network = build_unet(article_config(2), 1, 3).double().train()
    for _ in range(3):  # statistics other than those of a fresh network
        network(torch.rand(4, 1, 32, 32, dtype=torch.float64))
    wide = widen(network.eval(), factor).double()
    assert wide.config.width == 2 * factor
    assert not wide.training
    picture = torch.rand(1, 1, 32, 48, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(wide(picture), network(picture), rtol=1e-5, atol=1e-6)


OTHERS = [
    {"depth": 3, "skip": "add", "upsample": "transposed", "output_kernel": 1},
    {"padding": 0, "mirror_input": True, "downsample": "max_pool", "bias": True, "batch_norm": False},
    {"padding_mode": "zeros", "upsample": "bilinear", "activation": "relu"},
    {"patch": 2},
]


@pytest.mark.parametrize("settings", OTHERS)
def test_any_network_of_this_project_is_widened(settings):
    torch.manual_seed(0)
    network = build_unet(ModelConfig.model_validate({"width": 2, "depth": 2, **settings}), 3, 2).double().eval()
    image = torch.rand(1, 3, 40, 48, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(widen(network, 3).double()(image), network(image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [*OTHERS, {"depth": 5, "padding_mode": "reflect"}])
def test_the_work_of_any_network_is_that_of_its_convolutions(settings):
    network = build_unet(ModelConfig.model_validate({"width": 2, "depth": 2, **settings}), 1, 2).eval()
    seen = []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(
                lambda m, given, out: seen.append(
                    2 * m.weight.numel() * (given[0] if isinstance(m, nn.ConvTranspose2d) else out)[0, 0].numel()
                )
            )
    with torch.no_grad():
        network(torch.zeros(1, 1, 64, 96))
    by_hand = sum(seen) / 1e9
    assert count_gflop(network, (1, 64, 96)) == pytest.approx(by_hand)


def test_what_is_not_the_articles_is_named():
    assert list_departures(build_unet(article_config(4).model_copy(update={"dropout": 0.05}), 1, 3)) == []
    other = article_config(4, "zeros").model_copy(update={"depth": 3})
    assert list_departures(build_unet(other, 3, 3)) == ["model.depth=3", "model.padding_mode=zeros", "3 channels"]
    assert list_departures(build_unet(article_config(4).model_copy(update={"patch": 2}), 1, 3)) == ["model.patch=2"]


@pytest.mark.parametrize(("size", "fitting"), [((512, 48), (512, 48)), ((250, 16), (256, 32)), ((33, 572), (48, 576))])
def test_the_article_takes_multiples_of_sixteen(size, fitting):
    assert fit_article(size) == fitting


def test_the_articles_network_computes_what_a_model_of_its_form_does():
    own = build_unet(article_config(12).model_copy(update={"dropout": 0.05}), 1, 1).eval()
    (theirs, size, note), image = stand_beside(own, (48, 32)), torch.rand(1, 1, 48, 32)
    with torch.no_grad():
        torch.testing.assert_close(theirs(image), own(image).sigmoid())
    assert (size, note) == ((48, 32), "")
    square = count_gflop(theirs, (1, 48, 48))
    assert count_gflop(theirs, (1, *size)) == pytest.approx(square * 2 / 3)


@pytest.mark.parametrize(
    ("model", "channels", "size", "expected"),
    [
        (article_config(12), 1, (50, 32), ((64, 32), "on 64 x 32 pixels")),
        (
            ModelConfig(width=12, depth=3, padding_mode="reflect"),
            1,
            (48, 32),
            ((48, 32), "untrained, since the model has model.depth=3"),
        ),
        (
            ModelConfig(width=12, depth=5),
            3,
            (70, 32),
            (
                (80, 32),
                "untrained, on 80 x 32 pixels, since the model has model.depth=5, model.padding_mode=zeros, 3 channels",
            ),
        ),
    ],
)
def test_what_the_model_is_compared_with_is_said(model, channels, size, expected):
    theirs, fitting, note = stand_beside(build_unet(model, channels, 1).eval(), size)
    assert (fitting, note) == expected
    assert not theirs.training
    with torch.no_grad():
        assert theirs(torch.rand(1, 1, *fitting)).shape == (1, 1, *fitting)
