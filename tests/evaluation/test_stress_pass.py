import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from monai.data import MetaTensor
from PIL import Image

from medseg.data.config import EvaluateDataConfig
from medseg.data.stress import STRESSES, apply_stress
from medseg.evaluation.evaluate import measure_cases
from medseg.evaluation.result import StressCurve
from medseg.evaluation.stress_pass import _fill_padding, _spoil, measure_stress
from medseg.evaluation.summary import summarize
from tests.support.evaluated_models import CLASSES, place, write_shapes_model
from tests.support.shape_images import write_png_folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_png_folder(tmp_path_factory.mktemp("data"), 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes_model(tmp_path_factory.mktemp("model") / "a.pt")


def run(model: Path, root: Path, number: int = 4) -> list[StressCurve]:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    return measure_stress(candidate, found.cases, measure_cases(candidate, found, data).cases, number)


def mean_dice(model: Path, root: Path) -> list[float]:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    summaries = summarize(measure_cases(candidate, found, data).cases, CLASSES, "px", 0)
    means = {summary.name: summary.mean for summary in summaries}
    return [means[f"dice_{name}"] for name in CLASSES]


def write_spoilt(model: Path, root: Path, target: Path, name: str, level: float) -> Path:
    """The data set as it is under one level of a stress that keeps gray values whole."""
    candidate, found = place(model, EvaluateDataConfig(root=root))
    for case in found.cases:
        files = [case.image, *(case.masks[label].path for label in CLASSES)]
        pixels, *masks = (np.asarray(Image.open(path)) for path in files)
        seed = hashlib.sha256(f"{candidate.read(case).digest} {name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(seed[:8]))
        changed, moved = apply_stress(name, level, pixels.astype(np.float32), np.stack(masks) > 0, rng)
        for path, content in zip(files, [changed.astype(np.uint8), *moved.astype(np.uint8) * 255], strict=True):
            (target / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(target / path.relative_to(root))
    return target


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shift", "marker", "collimation"])
def test_a_level_is_an_evaluation_of_spoilt_files(name: str, model: Path, root: Path, tmp_path: Path) -> None:
    stress = next(stress for stress in STRESSES if stress.name == name)
    curve = next(curve for curve in run(model, root) if curve.name == name)
    assert (curve.levels, curve.cases) == ((0, *stress.levels), 4)
    assert [curve.dice[label][0] for label in CLASSES] == pytest.approx(mean_dice(model, root), abs=1e-6)
    spoilt = write_spoilt(model, root, tmp_path, name, stress.levels[3])
    assert [curve.dice[label][4] for label in CLASSES] == pytest.approx(mean_dice(model, spoilt), abs=1e-6)


@pytest.mark.slow
def test_masks_of_another_size_turn_with_the_radiograph(model: Path, root: Path, tmp_path: Path) -> None:
    for path in (path for path in root.rglob("*.png")):
        (tmp_path / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as picture:
            factor = 2 if "masks" in path.parts else 1
            larger = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        larger.save(tmp_path / path.relative_to(root))
    there, here = run(model, tmp_path), run(model, root)
    for curve, expected in zip(there[:2], here[:2], strict=True):
        assert curve.name in ("rotation", "shift")
        for label in CLASSES:
            assert curve.dice[label][1:] == pytest.approx(expected.dice[label][1:], abs=1e-6)


@pytest.mark.slow
def test_a_hash_chooses_the_cases(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    cases = measure_cases(candidate, found, data).cases
    least = sorted(cases, key=lambda case: case.result.digest)[:2]
    assert [case.result.case for case in least] != [case.id for case in found.cases[:2]]
    curves = measure_stress(candidate, found.cases, cases, 2)
    assert {curve.cases for curve in curves} == {2}
    expected = np.mean([case.result.scores["dice_box"] for case in least])
    assert curves[0].dice["box"][0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", [stress.name for stress in STRESSES])
def test_padding_does_not_change_what_a_level_means(name: str, model: Path, root: Path) -> None:
    stress = next(stress for stress in STRESSES if stress.name == name)
    candidate, found = place(model, EvaluateDataConfig(root=root))
    plain = candidate.read(found.cases[0])
    pixels, padding = plain.shown.image.as_tensor().clone(), np.zeros(plain.shown.image.shape[1:], bool)
    padding[:4, :4] = True
    pixels[0, padding] = -20000
    meta = {**plain.shown.image.meta, "padding": padding}
    padded = replace(plain, shown=replace(plain.shown, image=MetaTensor(pixels, meta=meta)))
    for level in stress.levels:
        (image, *_), (expected, *_) = _spoil(_fill_padding(padded), stress, level), _spoil(plain, stress, level)
        same = ~image.meta["padding"]
        contrast = float(expected.max() - expected.min())
        assert float((image - expected)[0, same].abs().mean()) < 0.03 * contrast
