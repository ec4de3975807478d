import re
from pathlib import Path

import pytest
import torch

from medseg.data.config import PreprocessConfig
from medseg.errors import CheckpointError, ConfigError
from medseg.hardware.device import find_hardware
from medseg.inference.backends import Backend
from medseg.inference.config import FolderPredictConfig, PredictConfig
from medseg.inference.models import load_models
from medseg.inference.predictor import build_predictor
from medseg.model.checkpoint import Accepts, Extent, Range, Reading
from medseg.model.config import InferenceConfig
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model


def load(*addresses, **settings):
    names = [str(address) for address in addresses]
    return load_models(names, StoreConfig(), FolderPredictConfig(**settings))


def predict(model, images):
    backend = Backend("torch", find_hardware("cpu"), "fp32")
    return build_predictor(model, backend, PredictConfig()).predict(images)


@pytest.fixture
def pictures():
    return torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_an_ensemble_is_the_mean_in_whatever_order(tmp_path, pictures):
    paths = [write_model(tmp_path / f"{seed}.pt", seed=seed) for seed in (1, 2, 3)]
    single = torch.stack([predict(load(path), pictures) for path in paths])
    both = load(*paths), load(*reversed(paths))
    assert both[0].digest == both[1].digest
    assert torch.equal(predict(both[0], pictures), predict(both[1], pictures))
    torch.testing.assert_close(predict(both[0], pictures), single.mean(dim=0))


def test_a_folder_of_folds_is_an_ensemble(tmp_path):
    for fold in range(3):
        (tmp_path / f"fold{fold}").mkdir()
        write_model(tmp_path / f"fold{fold}" / "best.pt", seed=fold)
    assert len(load(tmp_path).networks) == 3


def test_a_cross_validation_that_is_not_finished_is_no_ensemble(tmp_path):
    (tmp_path / "fold0").mkdir()
    write_model(tmp_path / "fold0" / "best.pt")
    (tmp_path / "config.yaml").touch()
    with pytest.raises(CheckpointError, match="not finished; run it again"):
        load(tmp_path)
    (tmp_path / "summary.json").touch()
    assert load(tmp_path).digest == load(tmp_path / "fold0").digest


def test_a_folder_of_a_training_is_its_best_model(tmp_path):
    write_model(tmp_path / "best.pt")
    assert load(tmp_path).digest == load(tmp_path / "best.pt").digest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"classes": ("heart", "spine")}, "classes is"),
        ({"preprocess": PreprocessConfig(size=(64, 32))}, "preprocess.size is"),
        ({"reading": Reading(presentation="voi")}, "data.presentation is"),
        ({"inference": InferenceConfig(fill_holes=True)}, "predict.fill_holes is"),
    ],
)
def test_models_that_differ_are_no_ensemble(change, named, tmp_path):
    first, second = write_model(tmp_path / "a.pt"), write_model(tmp_path / "b.pt", **change)
    with pytest.raises(CheckpointError, match=f"cannot be in an ensemble with .*: {re.escape(named)}"):
        load(first, second)


def test_settings_of_the_user_make_models_alike(tmp_path):
    first = write_model(tmp_path / "a.pt")
    second = write_model(tmp_path / "b.pt", seed=1, inference=InferenceConfig(fill_holes=True))
    with pytest.raises(CheckpointError, match=r"Give predict\.fill_holes in the command"):
        load(first, second)
    assert load(first, second, fill_holes=True).card.inference.fill_holes


def test_an_ensemble_accepts_what_all_its_models_accept(tmp_path):
    accepted = [Accepts(views=("AP", "PA")), Accepts(views=("PA",), body_parts=("CHEST",)), Accepts(views=())]
    paths = [write_model(tmp_path / f"{i}.pt", seed=i, accepts=a) for i, a in enumerate(accepted)]
    assert load(*paths).card.accepts == Accepts(modalities=("CR", "DX"), views=("PA",), body_parts=("CHEST",))
    other = write_model(tmp_path / "ap.pt", seed=9, accepts=Accepts(views=("LL",)))
    with pytest.raises(CheckpointError, match="have no accepted views in common"):
        load(paths[0], other)


def test_an_ensemble_with_an_older_model_knows_no_outlines(tmp_path):
    old = Range(area=(0.1, 0.2), row=(0.4, 0.5), column=(0, 1))
    ranges = old, old.model_copy(update={"outline": (4.0, 5.0)})
    paths = [write_model(tmp_path / f"{i}.pt", seed=i, ranges={"heart": r}) for i, r in enumerate(ranges)]
    assert load(*paths).card.ranges["heart"].outline is None


def test_an_ensemble_has_the_smallest_extent_and_the_mean_of_the_usual_ones(tmp_path):
    extents = [None, Extent(smallest=0.6, usual=0.8), Extent(smallest=0.7, usual=0.9)]
    paths = [write_model(tmp_path / f"{i}.pt", seed=i, extent=extent) for i, extent in enumerate(extents)]
    extent = load(*paths).card.extent
    assert (extent.smallest, extent.usual) == pytest.approx((0.6, 0.85))
    assert load(paths[0], write_model(tmp_path / "4.pt", seed=4)).card.extent is None


def test_an_ensembles_ranges_are_the_widest_and_its_thresholds_the_mean(tmp_path):
    ranges = [
        Range(area=(0.1, 0.2), row=(0.4, 0.5), column=(0, 1), outline=(5, 6)),
        Range(area=(0.05, 0.1), row=(0.3, 0.6), column=(0, 1), outline=(4, 5)),
    ]
    paths = [
        write_model(tmp_path / f"{i}.pt", seed=i, ranges={"heart": r}, thresholds={"heart": 0.4 + 0.2 * i})
        for i, r in enumerate(ranges)
    ]
    card = load(*paths).card
    assert card.ranges == {"heart": Range(area=(0.05, 0.2), row=(0.3, 0.6), column=(0, 1), outline=(4, 6))}
    assert card.thresholds == {"heart": pytest.approx(0.5), "lungs": 0.5}


def test_the_user_decides_on_augmentation_and_cleaning(tmp_path):
    path = write_model(tmp_path / "a.pt", inference=InferenceConfig(tta=("gamma",), components={"heart": 1}))
    assert load(path).card.inference == InferenceConfig(tta=("gamma",), components={"heart": 1})
    assert load(path, tta=("mirror",)).card.inference == InferenceConfig(tta=("mirror",), components={"heart": 1})
    assert load(path, tta=(), components={}, fill_holes=True).card.inference == InferenceConfig(fill_holes=True)
    with pytest.raises(ConfigError, match=r"predict\.components: hart, rib: not a class"):
        load(path, components={"hart": 1, "rib": 1})


@pytest.mark.parametrize("address", ["nowhere.pt", "."])
def test_what_is_no_model_is_named(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=address.replace(".", r"\.")):
        load(address)


def test_a_damaged_model_is_named(tmp_path: Path):
    path = write_model(tmp_path / "a.pt")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"a\.pt: damaged"):
        load(path)


def test_an_ensemble_has_seen_what_any_of_its_models_has(tmp_path: Path):
    seen = [("b", "a"), ("c", "a")]
    paths = [
        write_model(tmp_path / f"{i}.pt", seed=i, train_digests=d, validation_digests=d[:1], run_id=str(i))
        for i, d in enumerate(seen)
    ]
    card = load(*paths).card
    assert (card.train_digests, card.validation_digests, card.run_id) == (("a", "b", "c"), ("b", "c"), None)
