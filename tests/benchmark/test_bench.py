import pytest
import torch

from medseg.benchmark.bench import Bench, load_pairs
from medseg.benchmark.networks import article_config
from medseg.benchmark.recipe import BenchmarkRecipe
from medseg.data.config import PreprocessConfig
from medseg.data.frame import whole
from medseg.data.loaders import CachedCases, CaseFacts
from medseg.errors import ConfigError
from medseg.model.checkpoint import ModelCard, Reading, save_checkpoint


def build_bench(tmp_path, **settings):
    recipe = {"phantom": {"num_cases": 12, "size": 64}, "benchmark": settings}
    return Bench(BenchmarkRecipe.model_validate(recipe), tmp_path)


def test_a_class_that_there_is_not_is_named(tmp_path):
    bench = build_bench(tmp_path, of_class="liver")
    with pytest.raises(
        ConfigError, match=r"benchmark\.of_class: liver is not a class of the data \(clavicles, heart, lungs\)"
    ):
        _ = bench.splits


@pytest.mark.parametrize(("of_class", "judged"), [(None, "lungs"), ("mean", "mean"), ("heart", "heart")])
def test_whose_dice_is_to_be_reached(of_class, judged, tmp_path):
    assert build_bench(tmp_path, of_class=of_class).judged == judged


CARD = ModelCard(
    classes=("bones",),
    model=article_config(12).model_copy(update={"dropout": 0.05}),
    preprocess=PreprocessConfig(size=(48, 32), fit="stretch"),
    reading=Reading(presentation="voi"),
)


def build_bench_with_model(tmp_path, **settings):
    save_checkpoint(tmp_path / "model.pt", CARD, CARD.build_network().state_dict())
    return build_bench(tmp_path, model=tmp_path / "model.pt", **settings)


def test_images_are_read_and_preprocessed_as_the_model_file_says(tmp_path, monkeypatch):
    bench = build_bench_with_model(tmp_path)
    seen = []
    monkeypatch.setattr(bench, "cache", lambda split, *how: seen.append(how))
    bench.cases("validation", (64, 64))
    assert seen == [(CARD.preprocess.model_copy(update={"size": (64, 64)}), "voi")]


def test_width_and_size_are_the_models_unless_they_are_given(tmp_path):
    bench = build_bench_with_model(tmp_path)
    assert (bench.widths, bench.sizes, bench.training_widths) == ((12,), ((48, 32),), (16, 64))
    given = build_bench_with_model(tmp_path, widths=(24, 36), sizes=(64,))
    assert (given.widths, given.sizes, given.training_widths) == ((24, 36), ((64, 64),), (24, 36))
    with pytest.raises(ConfigError, match=r"benchmark\.widths: 16 is not a multiple of 12, the width of .*model\.pt"):
        _ = build_bench_with_model(tmp_path, widths=(24, 16)).widths


def test_without_a_model_the_article_decides(tmp_path):
    bench = build_bench(tmp_path)
    assert (bench.widths, bench.sizes) == ((16, 64), ((256, 256), (512, 512)))


def test_pairs_are_images_and_their_masks_as_numbers():
    facts = tuple(CaseFacts(f"case-{i}", "", "", None, None, None, None, None, whole((8, 8))) for i in range(3))
    images = torch.rand(3, 1, 4, 4)
    cached = CachedCases(facts, images, (images > 0.5).byte().expand(-1, 2, -1, -1), torch.ones(3, 2, dtype=torch.bool))
    pairs = list(load_pairs(cached))
    assert [(image.shape, masks.shape, masks.dtype) for image, masks in pairs] == 3 * [
        ((1, 1, 4, 4), (1, 2, 4, 4), torch.float32)
    ]
    assert torch.equal(torch.cat([image for image, _ in pairs]), images)
    assert torch.equal(pairs[2][1][0, 1], (images[2, 0] > 0.5).float())
