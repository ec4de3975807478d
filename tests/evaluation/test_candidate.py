import gc
from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from medseg.data.config import EvaluateDataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.errors import ConfigError, DataError
from medseg.evaluation.candidate import ReadCase, map_cases
from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.evaluate import evaluate_model
from medseg.model.checkpoint import Accepts, ModelCard, Reading, save_checkpoint
from medseg.model.config import ModelConfig
from medseg.phantom.darken import write_darkened_pairs
from medseg.phantom.dicom import write_phantoms
from medseg.radiograph.read import read_radiograph
from tests.support.evaluated_models import digest, place, write_shapes_model
from tests.support.shape_images import write_png_folder


def copy_as_png(source: Path, target: Path) -> None:
    Image.fromarray(read_radiograph(source).pixels.astype(np.uint16)).save(target.with_suffix(".png"))


def copy_as_nifti(source: Path, target: Path) -> None:
    pixels = read_radiograph(source).pixels
    image = nibabel.Nifti1Image(pixels.T[..., None], np.diag([-0.3, -0.2, 1, 1]))
    nibabel.save(image, target.with_suffix(".nii.gz"))


@pytest.mark.slow
@pytest.mark.parametrize("copy", [copy_as_png, copy_as_nifti])
def test_a_radiograph_that_was_seen_is_known_in_any_format(copy, tmp_path: Path) -> None:
    originals = write_phantoms(tmp_path / "dicom", 4, 64, seed=5)  # two of them MONOCHROME1
    twins = tmp_path / "twins"
    (twins / "images").mkdir(parents=True)
    (twins / "masks").symlink_to(originals / "masks")
    for path in (originals / "images").iterdir():
        copy(path, twins / "images" / path.stem)
    model = write_shapes_model(tmp_path / "a.pt", classes=("heart", "lungs"))
    candidate, found = place(model, EvaluateDataConfig(root=originals))
    digests = [candidate.read(case).digest for case in found.cases]
    seen = write_shapes_model(
        tmp_path / "b.pt", classes=("heart", "lungs"), train_digests=digests[:3], validation_digests=digests[3:]
    )
    candidate, found = place(seen, EvaluateDataConfig(root=twins))
    assert [candidate.tell_seen(candidate.read(case)) for case in found.cases] == ["training"] * 3 + ["validation"]


def write_as_png(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path.with_suffix(".png"))


def write_as_fractions(pixels: np.ndarray, path: Path) -> None:
    image = nibabel.Nifti1Image(pixels.T[..., None] / np.float64(7), np.diag([-0.3, -0.2, 1, 1]))
    nibabel.save(image, path.with_suffix(".nii.gz"))


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_as_png, write_as_fractions])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_radiograph_that_was_seen_is_known_in_the_other_polarity(
    inverted: bool, write: Callable[[np.ndarray, Path], None], tmp_path: Path
) -> None:
    root = write_png_folder(tmp_path / "data", 3)
    for path in list((root / "images").iterdir()):
        pixels = np.asarray(Image.open(path))
        path.unlink()
        write(pixels, path)
    candidate, found = place(write_shapes_model(tmp_path / "a.pt"), EvaluateDataConfig(root=root, invert=inverted))
    model = write_shapes_model(tmp_path / "b.pt", train_digests=digest(candidate, found, "case01"))
    candidate, found = place(model, EvaluateDataConfig(root=root, invert=not inverted))
    assert [candidate.tell_seen(candidate.read(case)) for case in found.cases] == ["", "training", ""]


@pytest.mark.slow
def test_few_cases_are_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, found = place(
        write_shapes_model(tmp_path / "a.pt"), EvaluateDataConfig(root=write_png_folder(tmp_path, 40))
    )
    alive: WeakSet[ReadCase] = WeakSet()
    most = 0

    def work(read: ReadCase, predicted: torch.Tensor) -> str:
        nonlocal most
        gc.collect()
        most = max(most, len(alive))
        return read.case.id

    def watch(read: ReadCase) -> bool:
        alive.add(read)
        return True

    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))
    assert map_cases(candidate, found.cases, work, watch) == [case.id for case in found.cases]
    assert most <= 2 * 16  # those at work, and those that the loop still names


def test_a_set_whose_masks_mean_something_else_is_not_scored(tmp_path: Path) -> None:
    """The checks of a data set run on the same reading; here a class folder holds a label map."""
    root = write_png_folder(tmp_path, 3)
    for path in (root / "masks" / "disc").iterdir():
        mask = np.array(Image.open(path)) // 255
        mask[:6, :6] = 2
        Image.fromarray(mask).save(path)
    candidate, found = place(write_shapes_model(tmp_path / "a.pt"), EvaluateDataConfig(root=root))
    assert map_cases(candidate, found.cases, lambda read, predicted: read.case.id) == ["case00", "case01", "case02"]
    with pytest.raises(DataError, match=r"data\.label_values"):
        map_cases(candidate, found.cases, lambda read, predicted: read.case.id, checked=Findings(root))


def test_spacing_is_that_of_the_references_pixels(tmp_path: Path) -> None:
    root = write_png_folder(tmp_path / "data", 1)
    picture = root / "images" / "case00.png"
    pixels = np.asarray(Image.open(picture), np.float32)
    picture.unlink()
    image = nibabel.Nifti1Image(pixels.T[..., None], np.diag([-0.3, -0.2, 1, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, root / "images" / "case00.nii.gz")
    for path in root.glob("masks/*/case00.png"):
        with Image.open(path) as mask:
            twice = mask.resize((mask.width * 2, mask.height * 2), Image.Resampling.NEAREST)
        twice.save(path)
    candidate, found = place(write_shapes_model(tmp_path / "a.pt"), EvaluateDataConfig(root=root))
    read = candidate.read(found.cases[0])
    assert read.shown.image.meta["spacing_mm"] == pytest.approx((0.2, 0.3))
    assert read.spacing_mm == pytest.approx((0.1, 0.15))


def test_what_the_model_is_not_for_is_a_warning(tmp_path: Path) -> None:
    root = write_phantoms(tmp_path / "dicom", 1, 64, seed=5)
    accepts = Accepts(modalities=("DX",), body_parts=("HAND",), views=("PA",))
    model = write_shapes_model(tmp_path / "a.pt", classes=("heart",), accepts=accepts)
    candidate, found = place(model, EvaluateDataConfig(root=root))
    warnings = candidate.read(found.cases[0]).warnings
    said = [text for text in warnings if "the model only accepts" in text]
    assert said == ["body_part: the model only accepts HAND"]


def test_the_reference_of_a_color_model_is_where_the_target_is_at_least_half_as_bright(tmp_path: Path) -> None:
    root = write_darkened_pairs(tmp_path / "pairs", 3, 64, seed=3)
    card = ModelCard(
        classes=("red", "green", "blue"),
        model=ModelConfig(width=4, depth=2, dropout=0.0),
        preprocess=PreprocessConfig(size=(32, 32), intensity="fixed"),
        reading=Reading(color="rgb"),
    )
    save_checkpoint(tmp_path / "a.pt", card, card.build_network().state_dict())
    data = EvaluateDataConfig(root=root)
    candidate, found = place(tmp_path / "a.pt", data)
    case = found.cases[0]
    assert case.target is not None
    expected = np.moveaxis(np.asarray(Image.open(case.target)), -1, 0) >= 127.5
    assert np.array_equal(candidate.read(case).reference.numpy(), expected)
    evaluation = evaluate_model(candidate, found, data, EvaluationConfig(shown=1))
    assert evaluation.classes == card.classes
    assert len(evaluation.cases) == 3
    with pytest.raises(ConfigError, match="this model reads color images"):
        evaluate_model(candidate, found, data, EvaluationConfig(stress=True))
