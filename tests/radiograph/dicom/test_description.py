import pytest
from pydicom.dataset import Dataset

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from medseg.radiograph.dicom.description import describe_dicom
from medseg.radiograph.source import open_source
from tests.support.dicom_files import write_dicom


def describe(path):
    with open_source(path) as file:
        return describe_dicom(file)


def test_terms_and_sizes(tmp_path):
    found = describe(write_dicom(tmp_path / "x", PatientOrientation=["L", "F"], NumberOfFrames=3))
    assert (found.modality, found.body_part, found.view) == ("DX", "CHEST", "PA")
    assert (found.rows, found.columns, found.frames) == (96, 80, 3)
    assert found.orientation == "L\\F"
    assert found.sop_class_name == "Digital X-Ray Image Storage - For Presentation"
    assert found.study_instance_uid == "1.2.826.0.1.3680043.8.498.2"


def test_free_text_where_a_term_is_expected_is_kept_as_it_is_but_not_shown(tmp_path):
    found = describe(write_dicom(tmp_path / "x", BodyPartExamined="Chest of Mr. Jones", ViewPosition="PA of Jones?"))
    assert (found.body_part, found.view) == ("CHEST OF MR. JONES", "PA OF JONES?")
    assert "JONES" not in repr(found)


def test_functional_groups_are_seen(tmp_path):
    assert describe(write_dicom(tmp_path / "x", SharedFunctionalGroupsSequence=[Dataset()])).enhanced
    assert not describe(write_dicom(tmp_path / "y")).enhanced


def test_numbers_that_are_none_are_absent(tmp_path):
    assert describe(write_dicom(tmp_path / "x", Rows=None)).rows is None


def test_what_is_not_dicom_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"no DICOM, only text" * 30)
    with pytest.raises(RadiographError):
        describe(tmp_path / "x")


def coded(scheme, value):
    item = Dataset()
    item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning = scheme, value, "Jones"
    return [item]


@pytest.mark.parametrize(
    ("region", "body_part"),
    [
        (("SCT", "85562004"), "HAND"),
        (("SRT", "T-D8700"), "HAND"),
        (("SCT", "816094009"), "CHEST"),
        (("SRT", "T-D3000"), "CHEST"),
        (("SCT", "122494005"), "CSPINE"),
        (("99LOCAL", "1"), None),
    ],
)
def test_a_code_stands_in_for_an_absent_term(region, body_part, tmp_path):
    path = write_dicom(tmp_path / "x", BodyPartExamined=None, AnatomicRegionSequence=coded(*region))
    assert describe(path).body_part == read_radiograph(path).body_part == body_part
    stated = write_dicom(tmp_path / "y", BodyPartExamined="HIP", AnatomicRegionSequence=coded(*region))
    assert describe(stated).body_part == "HIP"


@pytest.mark.parametrize(("code", "view"), [("272479007", "PA"), ("399348003", "AP"), ("399173006", "LL")])
def test_a_code_stands_in_for_an_absent_view(code, view, tmp_path):
    path = write_dicom(tmp_path / "x", ViewPosition=None, ViewCodeSequence=coded("SCT", code))
    assert describe(path).view == read_radiograph(path).view == view


def test_an_empty_first_value_does_not_hide_the_term(tmp_path):
    assert describe(write_dicom(tmp_path / "x", BodyPartExamined=["", "HAND"])).body_part == "HAND"
