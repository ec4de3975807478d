"""Images whose organs are small are predicted again, enlarged, and every way to predict does the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

import medseg
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.frame import Frame, whole
from medseg.data.loaders import cache_cases
from medseg.data.preprocess import build_input, enlarge, restore
from medseg.errors import ConfigError
from medseg.evaluation.candidate import map_cases, place_model
from medseg.folder.examine import examine_file
from medseg.inference.config import ModelPredictConfig
from medseg.inference.decision import Decision
from medseg.inference.models import load_models
from medseg.inference.scoring import score_cases
from medseg.metrics.overlap import measure_overlap
from medseg.metrics.shape import find_box, measure_extent
from medseg.model.checkpoint import Extent
from medseg.model.config import InferenceConfig
from medseg.tracking.config import StoreConfig
from tests.support.dicom_files import phantom, write_dicom
from tests.support.folder_jobs import build_job
from tests.support.model_files import write_model
from tests.support.prediction_command import contents, predict, read_mask, rows
from tests.support.shape_images import write_png_folder

EXTENT = Extent(smallest=0.6, usual=0.8)
ALWAYS = Extent(smallest=1.9, usual=2.0)
"""The extent of a training set compared with which all masks are small."""
SQUARE = PreprocessConfig(size=(64, 64))


def decide(preprocess: PreprocessConfig = SQUARE, extent: Extent | None = EXTENT) -> Decision:
    return Decision(("heart", "lungs"), preprocess, (0.5, 0.5), {}, False, extent)


def draw(rows: slice, columns: slice) -> torch.Tensor:
    maps = torch.zeros(2, 64, 64)
    maps[1, rows, columns] = 1
    return maps


@pytest.mark.parametrize("side", [39, 60, 19, 0])
def test_masks_of_the_usual_size_and_those_that_are_no_organs_are_left(side: int) -> None:
    assert decide().find_zoom(draw(slice(2, 2 + side), slice(5, 5 + side)), whole((64, 64))) is None


def test_a_second_look_that_would_show_the_same_is_left_out() -> None:
    large = Extent(smallest=0.9, usual=0.95)
    assert decide(extent=large).find_zoom(draw(slice(2, 59), slice(2, 59)), whole((640, 400))) is None


def test_what_the_network_draws_beside_the_image_does_not_count() -> None:
    small, beside = draw(slice(20, 45), slice(20, 45)), draw(slice(20, 45), slice(20, 45))
    beside[0, :, :8] = 1  # the image takes columns 16 to 47
    frame = whole((640, 320))
    assert decide().find_zoom(beside, frame) == decide().find_zoom(small, frame) is not None
    assert torch.equal(decide().network_masks(beside, frame), small >= 0.5)


@pytest.mark.parametrize("side", [20, 30, 38])
def test_smaller_masks_get_the_usual_size(side: int) -> None:
    zoom = decide().find_zoom(draw(slice(16, 16 + side), slice(12, 12 + side)), whole((640, 640)))
    assert zoom is not None
    assert side * 10 / max(zoom.shape) == pytest.approx(EXTENT.usual / 1.1, abs=0.02)
    assert (sum(zoom.rows) / 2, sum(zoom.columns) / 2) == pytest.approx(
        ((16 + side / 2) * 10, (12 + side / 2) * 10), abs=1
    )
    assert decide(extent=None).find_zoom(draw(slice(20, 40), slice(12, 32)), whole((640, 640))) is None


@pytest.mark.parametrize("fitting", ["pad", "stretch"])
def test_the_part_lies_in_the_frame(fitting: str) -> None:
    rng, config = np.random.default_rng(0), PreprocessConfig(size=(64, 64), fit=fitting)  # type: ignore[arg-type]
    for height, width in rng.integers(5, 900, (200, 2)).tolist():
        outer = Frame((height + 20, width + 9), (7, 7 + height), (9, 9 + width))
        corner, sides = rng.integers(0, 55, 2).tolist(), rng.integers(1, 11, 2).tolist()
        box = slice(corner[0], corner[0] + sides[0]), slice(corner[1], corner[1] + sides[1])
        part = enlarge(outer, box, 0.4, config)
        assert part.size == outer.size
        for own, limits in zip((part.rows, part.columns), (outer.rows, outer.columns), strict=True):
            assert limits[0] <= own[0] < own[1] <= limits[1]


def test_a_small_organ_is_seen_large_and_laid_back_where_it_was() -> None:
    image = np.zeros((400, 500), np.float32)
    image[100:180, 300:390] = 255
    config = PreprocessConfig(size=(64, 64), intensity="fixed")
    first, frame = build_input(image, None, config)
    maps = first.expand(2, -1, -1)
    zoom = decide(config, Extent(smallest=0.3, usual=0.75)).find_zoom(maps, frame)
    assert zoom is not None
    second, shown = build_input(image, None, config, frame=zoom)
    assert shown == zoom
    assert measure_extent(second.numpy() >= 0.5) == pytest.approx(0.68, abs=0.06)
    found = restore(second, zoom, 0.5, config)[0].numpy()
    assert np.abs(found.astype(int) - (image > 0)).sum() <= 4 * (80 + 90)
    assert find_box(found) == tuple(
        slice(pytest.approx(s.start, abs=2), pytest.approx(s.stop, abs=2)) for s in find_box(image > 0)
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that predicts every image twice."""
    path = tmp_path_factory.mktemp("model") / "best.pt"
    return write_model(path, ("box", "disc"), inference=InferenceConfig(zoom=True), extent=ALWAYS)


@pytest.mark.slow
def test_the_command_python_and_the_scores_do_the_same(model: Path, tmp_path: Path) -> None:
    root, torch_only = write_png_folder(tmp_path / "data", 3), ("predict.backend=torch", "predict.precision=fp32")
    given = (f"model={model}", f"input.dir={root / 'images'}", f"output.dir={tmp_path / 'out'}", *torch_only)
    assert predict(*given, "output.formats=[png]").returncode == 0
    predictor = medseg.load_model(model, {"predict.backend": "torch", "predict.precision": "fp32"})
    plain = medseg.load_model(model, {"predict.backend": "torch", "predict.precision": "fp32", "predict.zoom": False})
    found = {row["path"]: row for row in rows(tmp_path / "out")}
    masks = {}
    for name, row in found.items():
        masks[name] = predictor.predict(root / "images" / name).masks
        for each in ("box", "disc"):
            assert np.array_equal(masks[name][each] * 255, read_mask(tmp_path / "out", each, row))
        assert any(
            not np.array_equal(masks[name][each], other)
            for each, other in plain.predict(root / "images" / name).masks.items()
        )

    config = ModelPredictConfig(backend="torch", precision="fp32")
    loaded, data = load_models([str(model)], StoreConfig(), config), DataConfig(root=root)
    cases = find_cases(data)
    candidate = place_model(loaded, cases, data, config)
    evaluated = map_cases(candidate, cases.cases, lambda read, maps: candidate.predictor.masks(maps, read.frame))
    cached = cache_cases(cases.cases, cases.classes, data, loaded.card.preprocess, tmp_path, Findings())[0]
    scores = score_cases(candidate.predictor, cases.cases, cached, data)
    wanted = []
    for case, own in zip(cases.cases, evaluated, strict=True):
        expected = np.stack(list(masks[case.image.name].values()))
        assert np.array_equal(own.numpy(), expected)
        reference = candidate.read(case).reference
        wanted.append(measure_overlap(own[None], reference[None], torch.ones(1, 2, dtype=torch.bool))[0][0])
    mean = torch.stack(wanted).double().mean(dim=0).tolist()
    assert [scores.compute()[f"dice_{name}"] for name in ("box", "disc")] == pytest.approx(mean)


@pytest.mark.slow
def test_another_setting_makes_the_masks_again(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_dicom(tmp_path / "in" / "a.dcm", phantom())
    given = (f"model={model}", f"input.dir={tmp_path / 'in'}", f"output.dir={tmp_path / 'out'}", "predict.workers=1")
    assert "1 predicted now" in predict(*given, "output.formats=[png]").stdout
    first = contents(tmp_path / "out" / "png")
    assert "0 predicted now" in predict(*given, "output.formats=[png]").stdout
    assert "1 predicted now" in predict(*given, "output.formats=[png]", "predict.zoom=false").stdout
    assert contents(tmp_path / "out" / "png") != first


def test_a_file_that_changes_between_the_looks_is_rejected(tmp_path: Path) -> None:
    job, path = build_job(tmp_path, tmp_path / "out"), write_dicom(tmp_path / "a.dcm")
    first = examine_file(job, b"a.dcm", None)
    zoom = Frame(first.size, (10, 20), (10, 30))
    assert examine_file(job, b"a.dcm", first.id, None, zoom).frame == zoom
    path.write_bytes(path.read_bytes() + b"\0\0")
    changed = examine_file(job, b"a.dcm", first.id, None, zoom)
    assert (changed.status, changed.reason) == ("rejected", "changing: the file changed while it was read")
    assert changed.image is None


def test_a_model_that_does_not_know_the_size_of_its_training_masks(tmp_path: Path) -> None:
    path = write_model(tmp_path / "best.pt")
    with pytest.raises(ConfigError, match=r"predict\.zoom: the model file does not state the size"):
        medseg.load_model(path, {"predict.zoom": True})
    assert medseg.load_model(path, {"predict.zoom": False}).card.extent is None


def test_models_and_settings_of_before_have_the_same_digests(tmp_path: Path) -> None:
    assert "extent" not in load_models([str(write_model(tmp_path / "a.pt"))], StoreConfig()).card.model_dump()
    assert "zoom" not in ModelPredictConfig().model_dump()
    assert "zoom" not in InferenceConfig().model_dump()
