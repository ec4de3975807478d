"""Each fault is planted in a set where nothing is wrong, and found in exactly the cases that have it."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from medseg.checks.run import check_cases, check_set, describe_set
from medseg.data.cases import list_cases
from medseg.data.config import DataConfig, PreprocessConfig, SplitConfig
from medseg.data.findings import Findings
from medseg.data.rules import RULES
from medseg.phantom.dicom import write_phantoms
from tests.support.case_surveys import make_survey
from tests.support.planted_faults import (
    NUM_CASES,
    both,
    change_dicom,
    change_images,
    change_masks,
    copy_image,
    exchange_masks,
    names,
    remove_masks,
    write_bytes,
    write_chests,
    write_manifest,
)
from tests.support.shape_images import write_png_folder


@pytest.fixture(scope="session")
def clean_chests(tmp_path_factory):
    return write_chests(tmp_path_factory.mktemp("chests"))


@pytest.fixture(scope="session")
def clean_phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 14, 128, 0)


@pytest.fixture
def chests(clean_chests, tmp_path):
    return Path(shutil.copytree(clean_chests, tmp_path / "chests"))


@pytest.fixture
def phantoms(clean_phantoms, tmp_path):
    return Path(shutil.copytree(clean_phantoms, tmp_path / "phantoms"))


def check(root, split=None, **settings):
    """Code -> severity and cases of what is found."""
    data, findings = DataConfig(root=root, **settings), Findings(root)
    found = list_cases(data, findings)
    check_cases(found, data, split or SplitConfig(seed=0), PreprocessConfig(size=(128, 128)), findings)
    return {finding.code: (finding.severity, list(finding.cases)) for finding in findings.listed()}


def save(pixels, form, **settings):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **settings)
    return stream.getvalue()


def grown(mask):
    return ndimage.binary_dilation(mask > 0, iterations=22) * 255


def eroded(mask):
    return ndimage.binary_erosion(mask > 0, iterations=12) * 255


def exposed(picture, gain):
    return np.clip(picture.astype(float) * gain, 0, 255)


NOISE = np.random.default_rng(0).integers(0, 256, (144, 144))
EMPTY = save(np.zeros((144, 144), np.uint8), "PNG")
CUT = save(np.zeros((144, 100), np.uint8), "PNG")
NAN = save(np.full((144, 144), np.nan, np.float32), "TIFF")

FAULTS = {
    "unreadable image": ("unreadable", write_bytes("images/chest03.png", b"no picture", "chest03")),
    "unreadable mask": ("unreadable", write_bytes("masks/heart/chest04.png", b"", "chest04")),
    "constant image": ("no_content", change_images(lambda pixels: pixels * 0 + 7, 5)),
    "images without any mask": ("image_without_mask", remove_masks(2, 6)),
    "class missing": ("class_missing", remove_masks(7, 8, classes=["heart"])),
    "mask without image": ("mask_without_image", write_bytes("masks/lungs/ghost.png", EMPTY, "ghost")),
    "mask of another shape": ("size_mismatch", write_bytes("masks/lungs/chest09.png", CUT, "chest09")),
    "two images of one name": ("layout", write_bytes("images/chest10.jpg", b"", "chest10")),
    "files below images": ("layout", write_bytes("images/more/a.png", EMPTY)),
    "class that is always empty": (
        "class_empty",
        change_masks(lambda mask: mask * 0, *range(NUM_CASES), classes=["heart"]),
    ),
    "inverted": ("image_inverted", change_images(lambda pixels: 255 - pixels, 3, 11, 17)),
    "a third inverted": ("image_inverted", change_images(lambda pixels: 255 - pixels, *range(8))),
    "all inverted": ("image_inverted", change_images(lambda pixels: 255 - pixels, *range(NUM_CASES))),
    "image upside down": ("image_upside_down", change_images(np.flipud, 4)),
    "image turned by half": ("image_upside_down", change_images(lambda pixels: np.rot90(pixels, 2), 4, 5)),
    "image turned by a quarter": ("image_transposed", change_images(np.rot90, 6)),
    "mask mirrored": ("mask_mirrored", change_masks(np.fliplr, 7)),
    "image and mask mirrored": ("mask_mirrored", both(change_masks(np.fliplr, 8, 9), change_images(np.fliplr, 8, 9))),
    "mask upside down": ("mask_upside_down", change_masks(np.flipud, 10)),
    "mask transposed": ("mask_transposed", change_masks(np.transpose, 11)),
    "mask of a turned image": ("mask_off_image", change_images(np.rot90, 12)),
    "masks all transposed": ("mask_off_image", change_masks(np.transpose, *range(NUM_CASES))),
    "a third of the masks transposed": ("mask_off_image", change_masks(np.transpose, *range(8))),
    "mask shifted": ("mask_off_image", change_masks(lambda mask: np.roll(mask, 15, axis=1), 13)),
    "masks of other patients": ("mask_off_image", exchange_masks(5, 6)),
    "foreground and background exchanged": ("mask_inverted", change_masks(lambda mask: 255 - mask, 14)),
    "label map as mask": ("mask_levels", change_masks(lambda mask: mask - 100 * (mask * (NOISE > 128) > 0), 15)),
    "empty mask": ("empty_mask", change_masks(lambda mask: mask * 0, 16, classes=["heart"])),
    "full mask": ("full_mask", change_masks(lambda mask: mask * 0 + 255, 17, classes=["heart"])),
    "mask of 0 and 1": ("mask_values", change_masks(lambda mask: mask > 0, 18)),
    "mask of half the size": ("mask_resolution", change_masks(lambda mask: mask[::2, ::2], 19)),
    "few gray levels": ("few_grey_levels", change_images(lambda pixels: pixels // 16 * 16, 20)),
    "fewer gray levels than others": ("few_grey_levels", change_images(lambda pixels: pixels // 4 * 4, 21)),
    "stretched": ("uneven_grey_levels", change_images(lambda pixels: (pixels * 0.7).astype(np.uint8) * 1.4, 22)),
    "cut to eight bits": ("wrapped_grey_levels", change_images(lambda pixels: pixels.astype(int) * 16 % 256, 23)),
    "overexposed": ("saturated", change_images(lambda pixels: exposed(pixels, 3), 0)),
    "clipped heart": ("saturated", change_images(lambda pixels: np.minimum(pixels, 120), 1)),
    "large mask": ("outlier_area", change_masks(grown, 2, classes=["heart"])),
    "thin mask": ("outlier_area", change_masks(eroded, 3, classes=["heart"])),
    "mask elsewhere": ("outlier_position", change_masks(lambda mask: np.roll(mask, -40, axis=0), 4, classes=["heart"])),
    "no chest": ("outlier_image", change_images(lambda pixels: NOISE, 5)),
    "larger image": (
        "mixed_sizes",
        both(*(change(lambda array: np.kron(array, np.ones((2, 2))), 6) for change in (change_images, change_masks))),
    ),
}


@pytest.mark.slow
def test_clean_sets_yield_no_error_and_no_warning(clean_chests, clean_phantoms, tmp_path):
    for root in (clean_chests, clean_phantoms, write_png_folder(tmp_path / "shapes", 40)):
        found = check(root)
        assert {code for code, (severity, _) in found.items() if severity != "info"} == set()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found_in_exactly_its_cases(chests, fault):
    code, plant = FAULTS[fault]
    planted = plant(chests)
    severity, cases = check(chests)[code]
    assert cases == sorted(planted)
    assert severity == RULES[code].severity


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["mask_mirrored", "image_inverted", "few_grey_levels"])
def test_what_is_planted_is_all_that_is_found(chests, fault):
    next(plant for code, plant in FAULTS.values() if code == fault)(chests)
    errors_and_warnings = {code for code, (severity, _) in check(chests).items() if severity != "info"}
    assert errors_and_warnings <= {fault, "mask_off_image"}


@pytest.mark.slow
def test_missing_class_that_is_allowed_is_a_warning(chests):
    remove_masks(7, 8, classes=["heart"])(chests)
    assert check(chests, missing="ignore")["class_missing"] == ("warning", names(7, 8))


def test_missing_class_is_told_wherever_a_set_is_checked():
    findings = Findings()
    check_set([make_survey("a"), make_survey("b")], ("lungs", "heart"), findings)
    (finding,) = findings.listed()
    assert (finding.code, finding.severity, finding.cases) == ("class_missing", "warning", ("a", "b"))


@pytest.mark.slow
def test_nan(chests):
    (chests / "images/chest05.png").unlink()
    (chests / "images/chest05.tiff").write_bytes(NAN)
    assert check(chests)["no_content"] == ("error", ["chest05"])


@pytest.mark.slow
def test_unknown_label(chests):
    for path in (chests / "masks" / "heart").iterdir():
        shutil.move(path, chests / "masks" / path.name)
    for label in ("heart", "lungs", "clavicles"):
        shutil.rmtree(chests / "masks" / label)
    cases = check(chests, classes=("heart", "lungs"))["unknown_label"][1]
    assert cases == names(*range(NUM_CASES))  # 255 where 1 and 2 are classes


@pytest.mark.slow
def test_unknown_class(chests):
    assert check(chests, classes=("heart", "liver"))["class_name"] == ("error", [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("splits", "code", "expected"),
    [
        (["train"] * 4 + ["validation", "test"], "copies", ("warning", names(1, 2))),
        (["train"] * 2 + ["test"] * 2 + ["validation"] * 2, "copies_across_splits", ("error", names(1, 2))),
    ],
)
def test_copies(chests, splits, code, expected):
    copy_image(1, 2)(chests)
    assert check(write_manifest(chests, splits))[code] == expected


def test_copies_that_are_allowed_are_a_warning(chests):
    copy_image(1, 2)(chests)
    manifest = write_manifest(chests, ["train"] * 2 + ["test"] * 2 + ["validation"] * 2)
    found = check(manifest, SplitConfig(seed=0, allow_duplicates=True))
    assert found["copies_across_splits"] == ("warning", names(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("splits", "columns", "code", "cases"),
    [
        ("train train test validation", {"patients": "abac"}, "patient_across_splits", [0, 2]),
        ("train train test validation", {"patients": ["a", "unknown", "unknown", "b"]}, "placeholder_patients", [1, 2]),
        ("train train train test", {}, "empty_split", []),
        ("train tarin test validation", {}, "manifest", [1]),
        ("train test validation", {"images": [f"images/{n}.png" for n in ("chest00", "gone", "chest02")]}, None, []),
    ],
)
def test_manifest(chests, splits, columns, code, cases):
    found = check(write_manifest(chests, splits.split(), **columns))
    if code is None:
        assert found["missing_file"] == ("error", ["gone"])
        assert "unreadable" not in found
    else:
        assert found[code] == ("error", names(*cases))


DICOM_FAULTS = {
    "orientation": ("orientation_tags", change_dicom(2, PatientOrientation=["R", "F"])),
    "centimetres": ("implausible_spacing", change_dicom(2, ImagerPixelSpacing=[0.28, 0.28], PixelSpacing=[0.28, 0.28])),
    "oblong pixels": ("anisotropic_spacing", change_dicom(4, ImagerPixelSpacing=[2.8, 2.6], PixelSpacing=[2.8, 2.6])),
    "exchanged polarity": ("image_inverted", change_dicom(0, PhotometricInterpretation="MONOCHROME1")),
    "burnt-in text": ("burned_in", change_dicom(6, BurnedInAnnotation="YES")),
    "remark": ("reading_note", change_dicom(6, PresentationLUTShape="IDENTITY")),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", DICOM_FAULTS)
def test_planted_tag_is_found(phantoms, fault):
    code, plant = DICOM_FAULTS[fault]
    planted = plant(phantoms)
    assert check(phantoms)[code][1] == planted


@pytest.mark.slow
def test_placeholder_of_dicom_files(phantoms):
    for number in (1, 5):
        change_dicom(number, PatientID="ANONYMOUS")(phantoms)
    assert check(phantoms)["placeholder_patients"] == ("error", ["phantom-0001", "phantom-0005"])
    assert "placeholder_patients" not in check(phantoms, SplitConfig(seed=0, patients="image"))


@pytest.mark.slow
def test_spacing_of_several_sources_is_an_info(clean_phantoms):
    found = check(clean_phantoms)
    assert found["absent_spacing"] == ("info", ["phantom-0001", "phantom-0009"])
    assert found["mixed_spacing"][0] == "info"


@pytest.mark.slow
def test_another_bit_depth(chests, clean_phantoms):
    for path in (clean_phantoms / "images").glob("phantom-000*.dcm"):
        shutil.copy(path, chests / "images" / path.name)
        for label in ("heart", "lungs", "clavicles"):
            shutil.copy(clean_phantoms / "masks" / label / f"{path.stem}.nii.gz", chests / "masks" / label)
    found = check(chests)
    assert found["mixed_bit_depth"] == ("info", [f"phantom-{number:04d}" for number in range(10)])


@pytest.mark.slow
def test_pairs_of_pictures(tmp_path):
    from medseg.phantom.darken import write_darkened_pairs

    root = write_darkened_pairs(tmp_path, 40, 64, 0)
    found = check(root, color="rgb")
    assert {code for code, (severity, _) in found.items() if severity == "error"} == set()
    target = min((root / "targets").iterdir())
    Image.fromarray(np.zeros((40, 64, 3), np.uint8) + np.arange(64, dtype=np.uint8)[:, None]).save(target)
    assert check(root, color="rgb")["size_mismatch"] == ("error", [target.stem])


@pytest.mark.slow
def test_description_counts_and_names_no_patient(clean_phantoms):
    data, findings = DataConfig(root=clean_phantoms), Findings(clean_phantoms)
    found = list_cases(data, findings)
    surveys, splits = check_cases(found, data, SplitConfig(seed=0), PreprocessConfig(size=(64, 64)), findings)
    described = describe_set(found, surveys, splits)
    assert (described["cases"], described["read"], described["patients"]) == (14, 14, 14)
    assert sum(described["splits"].values()) == 14
    assert described["classes"] == {"clavicles": 14, "heart": 14, "lungs": 14}
    assert described["formats"] == {"dicom": 14}
    assert described["orientations"] == {"L\\F": 14}
