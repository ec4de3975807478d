import math
import time
from io import BytesIO

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from medseg.radiograph.dicom import header
from medseg.radiograph.dicom.header import integer, items, numbers, read_dataset, read_pixel_format, text, texts, uid
from medseg.radiograph.source import open_source
from tests.support.dicom_files import make_dataset, phantom, write_dicom


def test_numbers_are_none_several_or_nan():
    dataset = make_dataset(WindowCenter=[1, 2.5], WindowWidth=[], PixelSpacing=["nan", "1"])
    assert numbers(dataset, "WindowCenter") == (1, 2.5)
    assert numbers(dataset, "WindowWidth") == numbers(dataset, "RescaleSlope") == ()
    assert [math.isnan(value) for value in numbers(dataset, "PixelSpacing")] == [True, False]


def test_integer_is_one_whole_number_or_refused():
    assert integer(make_dataset(), "Rows") == 96
    assert integer(make_dataset(Rows=None), "Rows") is None
    with pytest.raises(RadiographError, match="WindowCenter must be a single whole number"):
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


@pytest.fixture
def refused(tmp_path):
    def read(data, pixels=True):
        """The reason why the attributes of a file cannot be read."""
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(RadiographError) as error, open_source(tmp_path / "a") as file:
            read_dataset(file, ("Columns", "Modality"), pixels=pixels)
        return error.value.reason

    return read


def written(syntax=ExplicitVRLittleEndian, **options):
    write_dicom(file := BytesIO(), syntax=syntax, **options)
    return file.getvalue()


def test_value_that_is_cut_is_named_and_not_taken_for_a_shorter_one(refused):
    data = written()
    modality = data.index(b"CS\x02\0DX") + 4
    assert refused(data[: modality + 1], pixels=False) == "Modality is cut short: 1 bytes, but 2 are needed"
    assert refused(data[:modality], pixels=False) == "Modality is cut short: 0 bytes, but 2 are needed"
    meta = data.index(b"\x02\0\x02\0UI") + 8
    assert refused(data[: meta + 5]).startswith("MediaStorageSOPClassUID is cut short: 5 bytes")


@pytest.mark.parametrize("pixels", [False, True])
def test_compressed_pixel_data_are_read_only_if_asked_for(pixels):
    with BytesIO(written(JPEG2000Lossless, compress={})) as file:
        assert ("PixelData" in read_dataset(file, ("Columns",), pixels=pixels)) == pixels


def test_compressed_pixel_data_that_are_cut_are_told_from_absent_ones(refused):
    data = written(JPEG2000Lossless, compress={})
    start = data.index(b"\xe0\x7f\x10\0OB")
    assert refused(data[: start - 2]) == "is cut short or damaged before its pixel data"
    assert refused(data[: start + 16]) == "PixelData has no length and no fragments"


def test_zeros_behind_the_picture_are_padding():
    with BytesIO(written() + bytes(10_000)) as file:
        assert "Columns" in read_dataset(file, ("Columns", "PixelData"), pixels=True)


def test_zeros_in_place_of_elements_are_not_gone_through(refused):
    data, zeros = written(), bytes(64 << 20)
    started = time.process_time()
    assert "no preamble" in refused(zeros)
    assert "cut short or damaged" in refused(data[: data.index(b"\x08\0\x60\0CS")] + zeros)
    assert "contains zeros" in refused(data[: data.index(b"\x08\0\x16\0UI")] + zeros)
    assert time.process_time() - started < 3


def test_bytes_are_no_text_and_a_number_only_where_the_standard_leaves_it_open():
    dataset = make_dataset(PixelPaddingValue=5)
    dataset.add_new("Modality", "OB", b"DX")
    dataset.add_new("RescaleSlope", "OB", b"1 ")
    dataset.add_new("LargestImagePixelValue", "US or SS", b"\x05\0")
    assert text(dataset, "Modality") is None
    assert math.isnan(numbers(dataset, "RescaleSlope")[0])
    assert numbers(dataset, "LargestImagePixelValue") == (5,)


def test_items_are_no_text():
    dataset = make_dataset(Modality=None)
    dataset.add_new("Modality", "SQ", [Dataset()])
    assert texts(dataset, "Modality") == ()


def test_texts_are_all_values_stripped():
    assert texts(make_dataset(ImageType=["ORIGINAL ", "", "AXIAL"]), "ImageType") == ("ORIGINAL", "", "AXIAL")


def test_samples_that_do_not_exist_are_refused():
    with pytest.raises(RadiographError, match="SamplesPerPixel is 5; valid values are 1, 3 and 4"):
        read_pixel_format(make_dataset(SamplesPerPixel=5), [])
