import math
from io import BytesIO

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medseg.errors import RadiographError
from medseg.radiograph import header, read_radiograph
from medseg.radiograph.header import integer, items, numbers, read_dataset, text, uid

from .coats import make_dataset, phantom, write_dicom


def test_numbers_are_none_several_or_nan():
    dataset = make_dataset(WindowCenter=[1, 2.5], WindowWidth=[], PixelSpacing=["nan", "1"])
    assert numbers(dataset, "WindowCenter") == (1, 2.5)
    assert numbers(dataset, "WindowWidth") == numbers(dataset, "RescaleSlope") == ()
    assert [math.isnan(value) for value in numbers(dataset, "PixelSpacing")] == [True, False]


def test_integer_is_one_whole_number_or_refused():
    assert integer(make_dataset(), "Rows") == 96
    assert integer(make_dataset(Rows=None), "Rows") is None
    with pytest.raises(RadiographError, match="WindowCenter is not one whole number"):
        integer(make_dataset(WindowCenter=1.5), "WindowCenter")


def test_text_is_stripped_and_the_first_of_several():
    assert text(make_dataset(ViewPosition="  AP "), "ViewPosition") == "AP"
    assert text(make_dataset(ImageType=["ORIGINAL", "PRIMARY"]), "ImageType") == "ORIGINAL"
    assert text(make_dataset(ViewPosition=""), "ViewPosition") is None


def test_uid_must_be_well_formed():
    assert uid(make_dataset(), "SOPInstanceUID") == "1.2.826.0.1.3680043.8.498.1"
    assert uid(make_dataset(SOPInstanceUID="name of someone"), "SOPInstanceUID") is None


def test_items_of_what_is_not_a_sequence():
    assert items(make_dataset(), "VOILUTSequence") == items(make_dataset(), "Rows") == ()


def test_only_the_attributes_asked_for_are_read(tmp_path):
    with write_dicom(tmp_path / "a.dcm").open("rb") as file:
        dataset = read_dataset(file, ("Columns",), pixels=True)
    assert {element.keyword for element in dataset} == {"SOPClassUID", "Rows", "Columns"}


@pytest.mark.parametrize("data", [b"", b"text, and a good deal of it\n" * 40, bytes(range(256)) * 8, bytes(4000)])
def test_what_is_not_dicom_is_refused(data):
    with pytest.raises(RadiographError, match=r"not a (readable )?DICOM file"):
        read_dataset(BytesIO(data), ("Columns",), pixels=True)


def test_deflated_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(header, "MAX_INFLATED", 10_000)
    path = write_dicom(tmp_path / "a.dcm", phantom(), syntax=DeflatedExplicitVRLittleEndian)
    with pytest.raises(RadiographError, match="inflates to more than 10000 bytes"):
        read_radiograph(path)


def test_deflated_data_set_without_preamble_is_bounded_too(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(read_radiograph(path).pixels, phantom())
    monkeypatch.setattr(header, "MAX_INFLATED", 10_000)
    with pytest.raises(RadiographError, match="inflates to more than 10000 bytes"):
        read_radiograph(path)


def test_deflated_data_set_without_the_length_of_its_meta_information_is_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", syntax=DeflatedExplicitVRLittleEndian)
    raw = path.read_bytes()
    path.write_bytes(raw[:132] + raw[144:])
    with pytest.raises(RadiographError, match="no FileMetaInformationGroupLength"):
        read_radiograph(path)


def test_deflated_data_that_end_early_are_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RadiographError, match="deflated data set is cut short"):
        read_radiograph(path)
