import pytest
import torch
from torch import nn

from medseg.benchmark.config import BenchmarkSettings
from medseg.benchmark.subject import Subject, article_config, check_model, count_gflop, widen
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.errors import ConfigError
from medseg.model.checkpoint import ModelCard, Reading, save_checkpoint
from medseg.model.unet import build_unet
from pipelines.benchmark_config import BenchmarkConfig


def count_by_hand(width: int, size: int, num_classes: int) -> float:
    """Two operations a weight and output pixel of every convolution of the article's network, 1e9."""
    found = []
    network = build_unet(article_config(width), 1, num_classes).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda m, _, out: found.append(2 * m.weight.numel() * out.shape[-1] * out.shape[-2])
            )
    with torch.no_grad():
        network(torch.zeros(1, 1, size, size))
    return sum(found) / 1e9


@pytest.mark.parametrize(("width", "size"), [(2, 32), (4, 64)])
def test_work_is_that_of_the_convolutions(width, size):
    expected = count_by_hand(width, size, 3)
    assert count_gflop(width, size, 3, training=False) == pytest.approx(expected)
    first = 2 * 9 * width * size**2 / 1e9  # whose gradient by the picture nobody asks for
    assert count_gflop(width, size, 3, training=True) == pytest.approx(3 * expected - first)


def test_the_articles_work_at_its_own_size():
    assert count_gflop(64, 512, 1, training=False) == pytest.approx(404, rel=0.02)


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


def test_a_class_that_there_is_not_is_named(tmp_path):
    recipe = BenchmarkConfig.model_validate({"phantom": {"num_cases": 12, "size": 64}})
    subject = Subject(recipe, BenchmarkSettings(of_class="liver"), tmp_path)
    with pytest.raises(ConfigError, match=r"benchmark\.of_class: liver is none of clavicles, heart, lungs"):
        _ = subject.splits


@pytest.mark.parametrize(("of_class", "judged"), [(None, "lungs"), ("mean", "mean"), ("heart", "heart")])
def test_whose_dice_is_to_be_reached(of_class, judged, tmp_path):
    recipe = BenchmarkConfig.model_validate({"phantom": {"num_cases": 12, "size": 64}})
    assert Subject(recipe, BenchmarkSettings(of_class=of_class), tmp_path).judged == judged


CARD = ModelCard(
    classes=("clavicles", "heart", "lungs"),
    model=article_config(4).model_copy(update={"dropout": 0.05}),
    preprocess=PreprocessConfig(size=(32, 32), fit="stretch"),
)


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (
            {"model": article_config(4).model_copy(update={"depth": 3, "skip": "add"})},
            "depth is 3, not 4; model.skip is",
        ),
        ({"model": article_config(4, "zeros")}, "padding_mode is zeros, not reflect"),
        ({"reading": Reading(color="rgb")}, "data.color=rgb, not grey"),
        ({"classes": ("lungs", "heart", "clavicles")}, "classes are lungs, heart, clavicles, those of the data clav"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_what_does_not(update, message):
    check_model(CARD, CARD.classes, DataConfig())
    with pytest.raises(ConfigError, match=rf"benchmark\.model: .*{message}"):
        check_model(CARD.model_copy(update=update), CARD.classes, DataConfig())


def test_pictures_are_preprocessed_as_the_model_file_says(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "model.pt", CARD, CARD.build_network().state_dict())
    recipe = BenchmarkConfig.model_validate({"phantom": {"num_cases": 12, "size": 64}})
    subject = Subject(recipe, BenchmarkSettings(model=tmp_path / "model.pt", widths=(8,)), tmp_path)
    seen = []
    monkeypatch.setattr(subject, "cache", lambda split, preprocess: seen.append(preprocess))
    subject.pictures("validation", 64)
    assert seen == [CARD.preprocess.model_copy(update={"size": (64, 64)})]
