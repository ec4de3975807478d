"""One walk through the shared inputs on which readers once fell short; twins of them stand in the readers' tests."""

import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image, ImageOps

from medseg.checks.items import summarize_item
from medseg.data.case import CaseSet
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig, SplitConfig
from medseg.data.findings import Findings
from medseg.data.loaders import cache_splits
from medseg.data.masks import read_mask_files
from medseg.data.splits import Splits, split_by_patient
from medseg.errors import DataError
from medseg.radiograph import read_radiograph

CASES = Path(__file__).parents[2] / "shared" / "cases"
CHECKS: dict[str, Callable[[Path], None]] = {}
"""By the folder's name."""


def check(function: Callable[[Path], None]) -> Callable[[Path], None]:
    CHECKS[function.__name__] = function
    return function


def find(root: Path, **settings: object) -> CaseSet:
    return find_cases(DataConfig(root=root, **settings))


def read(root: Path, **settings: object) -> dict[str, dict[str, np.ndarray]]:
    """Case -> class -> mask, of a data set in which nothing is wrong as it is trained on."""
    data = DataConfig(root=root, **settings)
    found = find_cases(data)
    train(split_by_patient(found, SplitConfig(seed=0, fractions=(0.5, 0.25, 0.25))), data)
    files = {case.id: read_mask_files(case.masks, data, []) for case in found.cases}
    return {case: {label: file.mask for label, file in masks.items()} for case, masks in files.items()}


def train(splits: Splits, data: DataConfig) -> None:
    """What a training does before its first step. Raises `DataError`."""
    from medseg.checks.run import check_training

    findings, preprocess = Findings(data.root), PreprocessConfig(size=(64, 64))
    look = partial(summarize_item, classes=splits.classes)
    _, surveys = cache_splits(splits, data, preprocess, CASES, findings, look)
    check_training(surveys, splits, data, SplitConfig(), findings)
    findings.check()


def is_one_picture(folder: Path, *names: str) -> None:
    plain = read_radiograph(folder / "plain.dcm").pixels
    for name in names:
        np.testing.assert_array_equal(read_radiograph(folder / name).pixels, plain, name)


def draw(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@check
def decomposed_names(folder: Path) -> None:
    names = {unicodedata.normalize("NFC", path.stem) for path in (folder / "images").iterdir()}
    assert {case.id for case in find(folder).cases} == names


@check
def empty_modality_lut(folder: Path) -> None:
    is_one_picture(folder, "empty_item.dcm")


@check
def exif_orientation(folder: Path) -> None:
    with pytest.raises(DataError, match=r"data\.exif=apply"):
        read(folder)
    assert len(read(folder, exif="apply")) == len(read(folder, exif="ignore")) == 20
    path = folder / "images" / "c00.jpg"
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_radiograph(path).pixels, np.asarray(ImageOps.exif_transpose(image)))
        np.testing.assert_array_equal(read_radiograph(path, exif="ignore").pixels, np.asarray(image))


@check
def faint_tint(folder: Path) -> None:
    for path in (folder / name for name in ("arrow.jpg", "by_one.png", "tint6.jpg")):
        radiograph, channels = read_radiograph(path), draw(path).astype(float)
        assert any("read as grayscale" in warning for warning in radiograph.warnings)
        agree = np.ptp(channels, axis=2) <= 16
        assert agree.mean() >= 0.98
        assert (np.abs(radiograph.pixels - channels.mean(axis=2)) <= 16)[agree].all()
        with pytest.raises(DataError, match="color"):
            read_radiograph(path, color="refuse")


@check
def gif_and_bmp(folder: Path) -> None:
    masks = read(folder)
    for case, found in masks.items():
        with Image.open(folder / "masks" / "lungs" / f"{case}.gif") as image:
            np.testing.assert_array_equal(found["lungs"], np.asarray(image.convert("L")) == 255)
        np.testing.assert_array_equal(
            read_radiograph(folder / "images" / f"{case}.bmp").pixels, draw(folder / "images" / f"{case}.bmp")
        )
    assert len(masks) == 20


@check
def jpeg_space_pad(folder: Path) -> None:
    is_one_picture(folder, "lossless.dcm")


@check
def label_map_one_class(folder: Path) -> None:
    for settings in ({}, {"classes": ("lungs",)}):
        with pytest.raises(DataError, match=r"data\.label_values"):
            read(folder, **settings)
    for case, found in read(folder, classes=("lungs", "heart")).items():
        values = draw(folder / "masks" / f"{case}.png")
        np.testing.assert_array_equal(found["lungs"], values == 1)
        np.testing.assert_array_equal(found["heart"], values == 2)


@check
def lossy_overshoot(folder: Path) -> None:
    (path,) = folder.glob("j2k*.dcm")
    (independent,) = sitk.GetArrayFromImage(sitk.ReadImage(path))
    assert independent.max() > 1023
    np.testing.assert_array_equal(read_radiograph(path).pixels, np.minimum(independent, 1023))


@check
def manifest_of_windows(folder: Path) -> None:
    found = find(folder / "manifest.csv")
    assert len(found.cases) == 20
    assert {case.split for case in found.cases} == {"train", "validation", "test"}


@check
def mask_in_alpha(folder: Path) -> None:
    for case, found in read(folder).items():
        np.testing.assert_array_equal(found["foreground"], draw(folder / "masks" / f"{case}.png")[:, :, 3] > 0)


@check
def nifti_of_dcm2niix(folder: Path) -> None:
    is_one_picture(folder, "plain.nii.gz")


@check
def nnunet_ignore_label(folder: Path) -> None:
    found = find(folder)
    assert found.classes == ("lung",)
    for case in found.cases:
        (file,) = read_mask_files(case.masks, DataConfig(root=folder), []).values()
        values = draw(folder / "labelsTr" / f"{case.id}.png")
        np.testing.assert_array_equal(file.mask, values == 1)
        np.testing.assert_array_equal(file.ignored, values == 2)
    read(folder)


@check
def no_sequence_delimiter(folder: Path) -> None:
    is_one_picture(folder, "eof.dcm", "zeros.dcm")


@check
def slicer_segment_names(folder: Path) -> None:
    for case, found in read(folder, classes=("lungs", "heart")).items():
        image = sitk.ReadImage(folder / "masks" / f"{case}.seg.nrrd")
        (values,) = sitk.GetArrayFromImage(image)
        for number in (0, 1):
            name, value = (image.GetMetaData(f"Segment{number}_{key}") for key in ("Name", "LabelValue"))
            np.testing.assert_array_equal(found[name], values == int(value))


@check
def small_set(folder: Path) -> None:
    for seed in range(20):
        splits = split_by_patient(find(folder), SplitConfig(seed=seed))
        assert [len(cases) for _, cases in splits.items()] == [6, 1, 1]
        cuts = [SplitConfig(seed=seed, folds=4, fold=fold) for fold in range(4)]
        folds = [split_by_patient(find(folder), cut).test for cut in cuts]
        assert sorted(case.id for fold in folds for case in fold) == [case.id for case in find(folder).cases]
        assert {len(fold) for fold in folds} == {2}


@check
def wrong_offset_table(folder: Path) -> None:
    is_one_picture(folder, "offset.dcm")


@pytest.mark.shared
@pytest.mark.parametrize("folder", sorted(CASES.iterdir()) if CASES.is_dir() else [], ids=lambda path: path.name)
def test_shared_case_is_read_as_it_is_meant(folder: Path) -> None:
    CHECKS[folder.name](folder)


@pytest.mark.shared
def test_every_shared_case_is_walked_through() -> None:
    if not CASES.is_dir():
        pytest.skip("needs ../shared/cases")
    assert {path.name for path in CASES.iterdir() if path.is_dir()} == CHECKS.keys()
