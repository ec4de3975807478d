import pytest
import torch

from medseg.benchmark.config import BenchmarkSettings
from medseg.benchmark.networks import article_config, count_gflop
from medseg.benchmark.subject import Subject
from medseg.data.config import PreprocessConfig
from medseg.errors import ConfigError
from medseg.model.checkpoint import ModelCard, Reading, save_checkpoint
from medseg.model.config import ModelConfig
from pipelines.benchmark_config import BenchmarkConfig


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
    classes=("bones",),
    model=article_config(12).model_copy(update={"dropout": 0.05}),
    preprocess=PreprocessConfig(size=(48, 32), fit="stretch"),
    reading=Reading(presentation="voi"),
)
PHANTOMS = {"phantom": {"num_cases": 12, "size": 64}}


def build_subject(tmp_path, card=CARD, **settings):
    save_checkpoint(tmp_path / "model.pt", card, card.build_network().state_dict())
    recipe = BenchmarkConfig.model_validate(PHANTOMS)
    return Subject(recipe, BenchmarkSettings(model=tmp_path / "model.pt", **settings), tmp_path)


def test_images_are_read_and_preprocessed_as_the_model_file_says(tmp_path, monkeypatch):
    subject = build_subject(tmp_path)
    seen = []
    monkeypatch.setattr(subject, "cache", lambda split, *how: seen.append(how))
    subject.pictures("validation", (64, 64))
    assert seen == [(CARD.preprocess.model_copy(update={"size": (64, 64)}), "voi")]


def test_width_and_size_are_the_models_unless_they_are_given(tmp_path):
    subject = build_subject(tmp_path)
    assert (subject.widths, subject.sizes, subject.training_widths) == ((12,), ((48, 32),), (16, 64))
    given = build_subject(tmp_path, widths=(24, 36), sizes=(64,))
    assert (given.widths, given.sizes, given.training_widths) == ((24, 36), ((64, 64),), (24, 36))
    with pytest.raises(ConfigError, match=r"benchmark\.widths: 16 is no multiple of 12, the width of .*model\.pt"):
        _ = build_subject(tmp_path, widths=(24, 16)).widths


def test_without_a_model_the_article_decides(tmp_path):
    subject = Subject(BenchmarkConfig.model_validate(PHANTOMS), BenchmarkSettings(), tmp_path)
    assert (subject.widths, subject.sizes) == ((16, 64), ((256, 256), (512, 512)))


def test_the_articles_network_computes_what_a_model_of_its_form_does(tmp_path):
    subject = build_subject(tmp_path)
    side, image = subject.article(24, (48, 32)), torch.rand(1, 1, 48, 32)
    with torch.no_grad():
        torch.testing.assert_close(side.network(image), subject.network(24)(image).sigmoid())
    assert (side.size, side.note) == ((48, 32), "")
    assert side.gflop == pytest.approx(count_gflop(24, 48, 1, training=False) * 2 / 3)


@pytest.mark.parametrize(
    ("changes", "size", "expected"),
    [
        ({}, (50, 32), ((64, 32), "on 64 x 32 pixels")),
        (
            {"model": ModelConfig(width=12, depth=3, padding_mode="reflect")},
            (48, 32),
            ((48, 32), "untrained, since the model has model.depth=3"),
        ),
        (
            {"model": ModelConfig(width=12, depth=5), "reading": Reading(color="rgb")},
            (70, 32),
            (
                (80, 32),
                "untrained, on 80 x 32 pixels, since the model has model.depth=5, model.padding_mode=zeros, 3 channels",
            ),
        ),
    ],
)
def test_what_the_model_is_compared_with_is_said(changes, size, expected, tmp_path):
    side = build_subject(tmp_path, CARD.model_copy(update=changes)).article(12, size)
    assert (side.size, side.note) == expected
    with torch.no_grad():
        assert side.network(torch.rand(1, 1, *side.size)).shape == (1, 1, *side.size)
