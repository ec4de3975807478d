import pytest
from pydicom.uid import UID

from medseg.folder.screen import list_doubts, name_terms, screen
from medseg.model.checkpoint import Accepts
from medseg.radiograph import read_radiograph
from medseg.radiograph.dicom.description import describe_dicom
from medseg.radiograph.source import open_source
from tests.support.dicom_files import write_dicom

ACCEPTS = Accepts(modalities=("CR", "DX"), body_parts=("CHEST",), views=("PA",))


def screened(path, accepts=ACCEPTS):
    with open_source(path) as file:
        return screen(describe_dicom(file), accepts)


def test_an_image_the_model_is_for_is_taken(tmp_path):
    assert screened(write_dicom(tmp_path / "x")) is None


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Modality": "XA"}, "modality: XA is not accepted (CR, DX)"),
        ({"BodyPartExamined": "HAND"}, "body-part: HAND is not accepted (CHEST)"),
        ({"ViewPosition": "LL"}, "view: LL is not accepted (PA)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, "object: Basic Text SR Storage is not an image"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "object: Segmentation Storage is not an image"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "object: Media Storage Directory Storage is not an image"),
    ],
)
def test_another_object_is_not(tags, reason, tmp_path):
    assert screened(write_dicom(tmp_path / "x", **tags)) == reason


@pytest.mark.parametrize("text", ["DOE JANE", "Hand (left)", "HAND OF JANE DOE, BORN 1970"])
def test_other_text_is_no_reason_to_take_an_image_and_is_never_quoted(text, tmp_path):
    """The text is still compared with the terms that the model accepts, because a site may have its own terms."""
    for keyword, code, known in (
        ("Modality", "modality", "CR, DX"),
        ("BodyPartExamined", "body-part", "CHEST"),
        ("ViewPosition", "view", "PA"),
    ):
        path = write_dicom(tmp_path / "x", **{keyword: text})
        reason = f"{code}: another term is not accepted ({known})"
        assert screened(path) == reason
    own = Accepts(body_parts=(text.upper(),))
    path = write_dicom(tmp_path / "x", BodyPartExamined=text)
    assert screened(path, own) is None
    with open_source(path) as file:
        assert name_terms(describe_dicom(file), own)["body_part"] == text.upper()
        assert name_terms(describe_dicom(file), ACCEPTS) == {"modality": "DX", "body_part": None, "view": "PA"}


def test_modality_decides_not_the_sop_class(tmp_path):
    capture = UID("1.2.840.10008.5.1.4.1.1.7")
    assert screened(write_dicom(tmp_path / "x", SOPClassUID=capture, Modality="CR")) is None
    assert screened(write_dicom(tmp_path / "x", Modality="MG")) is not None


def test_an_unknown_class_with_an_image_is_taken_and_without_one_is_not(tmp_path):
    assert screened(write_dicom(tmp_path / "x", SOPClassUID="1.2.3.4")) is None
    reason = screened(write_dicom(tmp_path / "y", SOPClassUID="1.2.3.4", Rows=None, data=b""))
    assert reason == "object: an object of an unknown class is not an image"


def test_absent_tags_are_taken_with_a_warning(tmp_path):
    path = write_dicom(tmp_path / "x", Modality=None, BodyPartExamined=None, ViewPosition=None)
    assert screened(path) is None
    names = ("modality", "body part", "view")
    assert list(list_doubts(read_radiograph(path), {}, ())) == [f"{name} unknown" for name in names]


def test_an_empty_list_accepts_anything(tmp_path):
    path = write_dicom(tmp_path / "x", Modality="MG", BodyPartExamined="HAND", ViewPosition="LL")
    assert screened(path, Accepts(modalities=())) is None


@pytest.mark.parametrize(
    ("tag", "known", "warned"),
    [
        (["L", "F"], (), False),
        (["R", "F"], (), True),
        (["R", "F"], ("R\\F",), False),
        (["L", "F"], ("P\\F",), True),
        (None, (), False),
    ],
)
def test_another_orientation_than_the_models_is_a_warning(tag, known, warned, tmp_path):
    path = write_dicom(tmp_path / "x", PatientOrientation=tag)
    assert any(w.startswith("orientation") for w in list_doubts(read_radiograph(path), {}, known)) == warned


def test_burned_in_annotation_is_a_warning(tmp_path):
    path = write_dicom(tmp_path / "x", BurnedInAnnotation="YES")
    assert any(w.startswith("burned-in") for w in list_doubts(read_radiograph(path), {}, ()))
