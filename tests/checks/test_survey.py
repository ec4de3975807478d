import nibabel
import numpy as np
import pytest
from PIL import Image

from medseg.checks.survey import survey_case, survey_cases
from medseg.data.case import Case, MaskSource
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.radiograph.nifti import build_nifti
from tests.support.dicom_files import phantom, write_dicom

PREPROCESS = PreprocessConfig(size=(64, 64), percentiles=(0, 100))
CLASSES = ("heart", "lungs")


@pytest.fixture
def picture(tmp_path):
    """A dark upper half over a bright lower one, and a mask of the upper left quarter."""
    pixels = np.repeat(np.repeat([[10], [210]], 64, axis=0), 128, axis=1).astype(np.uint8)
    pixels[:, 0], pixels[:, 127] = 0, 255
    mask = np.zeros((128, 128), np.uint8)
    mask[:64, :64] = 7
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return Case("a", tmp_path / "picture.png", {"lungs": MaskSource(tmp_path / "mask.png")}, "\0secret patient")


def test_mask_is_measured_at_its_own_size(picture):
    mask = survey_case(picture, CLASSES, DataConfig(), PREPROCESS).masks["lungs"]
    assert mask.area == 0.25
    assert mask.center == (0.25, 0.25)
    assert mask.border == pytest.approx(0.25)
    assert [levels.values for levels in mask.levels] == [(0, 7)]
    assert mask.shape == (128, 128)
    assert mask.intensity == pytest.approx(0, abs=0.1)
    assert mask.clipped == pytest.approx(1 / 64)  # the column of zeros


def test_small_pictures_are_of_the_box_around_the_masks(picture):
    survey = survey_case(picture, CLASSES, DataConfig(), PREPROCESS)
    assert survey.thumbnail.shape == (32, 32)
    assert survey.inside.max() < 0.2
    assert survey.outlines.shape == (2, 32, 32)
    assert survey.outlines[0].max() == 0
    assert survey.outlines[1].min() == 1
    assert survey.preview is not None
    assert survey.preview.masks()[1].mean() == 0.25


def test_mask_of_another_size_and_without_pixels(picture, tmp_path):
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "mask.png")
    mask = survey_case(picture, CLASSES, DataConfig(), PREPROCESS).masks["lungs"]
    assert (mask.area, mask.center, mask.clipped) == (0, (0, 0), 0)
    assert not mask.agreement.any()


def test_case_without_masks(picture):
    survey = survey_case(Case("b", picture.image, {}), CLASSES, DataConfig(), PREPROCESS)
    assert survey.masks == {}
    assert np.array_equal(survey.inside.shape, (32, 32))


def test_tags_come_along_but_nothing_of_the_patient(tmp_path):
    write_dicom(tmp_path / "a.dcm", PatientOrientation=["L", "F"], BurnedInAnnotation="YES")
    nibabel.save(build_nifti((phantom() > 2000).astype(np.uint8), (0.2, 0.15)), tmp_path / "m.nii.gz")
    case = Case("a", tmp_path / "a.dcm", {"lungs": MaskSource(tmp_path / "m.nii.gz")}, "\0SECRET-ID")
    survey = survey_case(case, CLASSES, DataConfig(), PREPROCESS)
    assert (survey.kind, survey.shape, survey.orientation) == ("dicom", (96, 80), "L\\F")
    assert (survey.spacing_mm, survey.spacing_source) == ((0.2, 0.15), "detector")
    assert survey.levels.bits == 12
    assert survey.burned_in
    assert survey.preview is None  # the text may be a name
    assert "SECRET" not in repr(survey).upper()


def test_files_that_cannot_be_read_are_noted_and_missing_ones_are_not_opened(picture, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Case("b", tmp_path / "broken.png", {})
    gone = Case("c", tmp_path / "gone.png", {})
    findings = Findings(tmp_path)
    findings.add("missing_file", "c", "gone.png")
    surveys = survey_cases([picture, broken, gone], CLASSES, DataConfig(), PREPROCESS, findings)
    assert [survey.id for survey in surveys] == ["a"]
    assert [(f.code, f.cases) for f in findings.listed()] == [("missing_file", ("c",)), ("unreadable", ("b",))]
