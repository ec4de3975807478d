import logging
import warnings

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RTPlanStorage,
    SegmentationStorage,
)

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from medseg.radiograph.dicom.read import read_patient
from tests.support.dicom_files import make_dataset, phantom, validation_off, write_dicom


def without_preamble(path):
    path.write_bytes(path.read_bytes()[132:])
    return path


def bare_data_set(path, syntax):
    """Not even file meta information."""
    dataset = make_dataset()
    dataset.PixelData = phantom().astype("<u2" if syntax.is_little_endian else ">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    with validation_off():
        dataset.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return path


def test_tags_come_with_the_picture(tmp_path):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", BurnedInAnnotation="NO", ViewPosition=" pa "))
    assert (radiograph.modality, radiograph.body_part, radiograph.view) == ("DX", "CHEST", "PA")
    assert radiograph.sop_class == "1.2.840.10008.5.1.4.1.1.1.1"
    assert radiograph.sop_instance_uid == "1.2.826.0.1.3680043.8.498.1"
    assert radiograph.burned_in is False
    assert radiograph.padding is None
    assert radiograph.warnings == ()
    assert not radiograph.lossy


def test_absent_tags_are_none(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", BodyPartExamined=None, ViewPosition="", PresentationIntentType=None)
    radiograph = read_radiograph(path)
    assert (radiograph.body_part, radiograph.view, radiograph.burned_in) == (None, None, None)


def test_text_that_may_be_a_name_is_dropped_with_a_warning(tmp_path):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", BodyPartExamined="SECRET^NAME"))
    assert radiograph.body_part is None
    assert radiograph.warnings == ("BodyPartExamined was ignored, because its value is not a valid code",)


def test_lossy_tag_counts_whatever_the_transfer_syntax(tmp_path):
    assert read_radiograph(write_dicom(tmp_path / "a.dcm", LossyImageCompression="01")).lossy


@pytest.mark.parametrize("name", ["a.dcm", "a", "a.xyz", "a.png"])
def test_content_decides_not_the_extension(tmp_path, name):
    radiograph = read_radiograph(write_dicom(tmp_path / name))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.kind == "dicom"


@pytest.mark.parametrize("name", ["a.dcm", "a", "a.xyz"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_no_preamble(tmp_path, name, syntax):
    path = without_preamble(write_dicom(tmp_path / name, syntax=syntax))
    np.testing.assert_array_equal(read_radiograph(path).pixels, phantom())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_bare_data_set(tmp_path, syntax):
    radiograph = read_radiograph(bare_data_set(tmp_path / "a", syntax))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert any("TransferSyntaxUID is missing" in warning for warning in radiograph.warnings)


@pytest.mark.parametrize(
    "keyword",
    "Rows Columns BitsAllocated BitsStored PixelRepresentation SamplesPerPixel PhotometricInterpretation".split(),  # noqa: SIM905
)
def test_missing_tag_is_refused_by_name(tmp_path, keyword):
    path = write_dicom(tmp_path / "a.dcm", **{keyword: None})
    with pytest.raises(RadiographError, match=f"a.dcm: {keyword} missing; these tags are required"):
        read_radiograph(path)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"NumberOfFrames": 2}, "has 2 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"PhotometricInterpretation": "XYZ"}, "PhotometricInterpretation is unknown"),
        ({"SamplesPerPixel": 4}, "SamplesPerPixel 4"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "BitsAllocated is 1"),
        ({"BitsAllocated": 12}, "BitsAllocated is 12"),
        ({"BitsStored": 0}, "BitsStored is 0"),
        ({"BitsStored": 17}, "BitsStored is 17"),
        ({"PixelRepresentation": 2}, "PixelRepresentation is 2"),
        ({"Rows": 0}, "has 0 rows"),
        ({"Rows": [96, 96]}, "Rows must be a single whole number"),
        ({"Rows": 60000, "Columns": 60000}, "claims 60000 x 60000 pixels"),
        ({"Rows": 192}, "PixelData is cut short"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "PresentationIntentType is FOR PROCESSING; allowed: FOR PRES"),
        ({"SOPClassUID": SegmentationStorage}, "is a DICOM segmentation"),
    ],
)
def test_what_is_not_one_gray_frame_is_refused(tmp_path, tags, reason):
    with pytest.raises(RadiographError, match=reason):
        read_radiograph(write_dicom(tmp_path / "a.dcm", **tags))


@pytest.mark.parametrize(("sop_class", "name"), [(BasicTextSRStorage, "Basic Text SR"), (RTPlanStorage, "RT Plan")])
def test_objects_without_pixels_are_refused_by_name(tmp_path, sop_class, name):
    path = write_dicom(tmp_path / "a.dcm", data=b"", SOPClassUID=sop_class)
    with pytest.raises(RadiographError, match=rf"has no pixel data \({name} Storage\)"):
        read_radiograph(path)


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_float_pixels_are_refused_by_name(tmp_path, keyword, dtype):
    dataset = make_dataset()
    setattr(dataset, keyword, phantom().astype(dtype).tobytes())
    dataset.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True)
    with pytest.raises(RadiographError, match=f"contains {keyword}"):
        read_radiograph(tmp_path / "a.dcm")


def test_presentation_intent_that_is_allowed(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", PresentationIntentType="FOR PROCESSING")
    radiograph = read_radiograph(path, presentation_intent=("FOR PRESENTATION", "FOR PROCESSING"))
    np.testing.assert_array_equal(radiograph.pixels, phantom())


def test_constant_picture_is_refused(tmp_path):
    with pytest.raises(RadiographError, match=r"every pixel is 7; nothing to segment"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", np.full((96, 80), 7, np.uint16)))


def test_padding_is_marked_on_stored_values(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_radiograph(path).padding, phantom() == 0)


@pytest.mark.parametrize("limits", [(100, 900), (900, 100)])
def test_padding_range(tmp_path, limits):
    path = write_dicom(
        tmp_path / "a.dcm",
        PixelPaddingValue=limits[0],
        PixelPaddingRangeLimit=limits[1],
        RescaleSlope=2,
        RescaleIntercept=5,
    )
    np.testing.assert_array_equal(read_radiograph(path).padding, (phantom() >= 100) & (phantom() <= 900))


@pytest.mark.parametrize("value", [-2048, 2048, 63488])
def test_padding_of_signed_pixels_however_it_is_written(tmp_path, value):
    signed = phantom().astype(np.int16) - 2048
    path = write_dicom(tmp_path / "a.dcm", signed)
    raw = path.read_bytes()
    tag = b"\x28\x00\x20\x01"
    before = raw.index(b"\x28\x00\x03\x01")
    element = tag + b"US\x02\x00" + (value % 65536).to_bytes(2, "little")
    path.write_bytes(raw[: before + 10] + element + raw[before + 10 :])
    np.testing.assert_array_equal(read_radiograph(path).padding, phantom() == 0)


def test_picture_of_padding_alone_is_refused(tmp_path):
    pixels = np.where(phantom() > 2000, np.uint16(5), np.uint16(9))
    path = write_dicom(tmp_path / "a.dcm", pixels, PixelPaddingValue=5, PixelPaddingRangeLimit=9)
    with pytest.raises(RadiographError, match="every pixel is padding"):
        read_radiograph(path)


def test_picture_that_is_constant_outside_its_padding_is_refused(tmp_path):
    pixels = np.where(phantom() > 2000, np.uint16(5), np.uint16(9))
    with pytest.raises(RadiographError, match="every pixel is 9"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", pixels, PixelPaddingValue=5))


def test_padding_value_that_no_pixel_can_have_is_ignored_with_a_warning(tmp_path):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", PixelPaddingValue=65535))
    assert radiograph.padding is None
    assert "PixelPaddingValue" in radiograph.warnings[0]


def write_halvable(path, pixels=None, **tags):
    return write_dicom(path, pixels, syntax=JPEG2000Lossless, compress={"encoding_plugin": "pylibjpeg"}, **tags)


def test_pixels_at_a_lower_resolution_go_through_all_steps(tmp_path):
    tags = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": 2, "RescaleIntercept": -1000}
    plain = read_radiograph(write_halvable(tmp_path / "a.dcm"), reduce=2)
    found = read_radiograph(write_halvable(tmp_path / "b.dcm", **tags), reduce=2)
    np.testing.assert_array_equal(found.pixels, 2 * (4095 - plain.pixels) - 1000)
    assert (found.reduction, found.size, found.padding) == (4, (96, 80), None)


def test_padding_at_a_lower_resolution_is_read_whole(tmp_path):
    pixels = phantom()
    pixels[:, :40] = 9
    path = write_halvable(tmp_path / "a.dcm", pixels, PixelPaddingValue=9, OverlayRows=None)
    found = read_radiograph(path, reduce=2)
    np.testing.assert_array_equal(found.padding, pixels == 9)
    assert (found.reduction, found.warnings) == (1, read_radiograph(path).warnings)
    assert read_radiograph(write_halvable(tmp_path / "b.dcm", PixelPaddingValue=0), reduce=2).reduction == 4


def test_a_table_is_applied_to_all_pixels(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.arange(4096, dtype="<u2")[::-1].tobytes()
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    modality = write_halvable(tmp_path / "a.dcm", ModalityLUTSequence=[table])
    voi = write_halvable(tmp_path / "b.dcm", VOILUTSequence=[table])
    assert read_radiograph(modality, reduce=2).reduction == 1
    assert read_radiograph(voi, reduce=2).reduction == 4
    assert read_radiograph(voi, reduce=2, presentation="voi").reduction == 1


def test_nothing_of_the_patient_leaks(tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    tags = {"PatientName": "Secret^Name", "PatientBirthDate": "SECRETDATE", "BodyPartExamined": "SECRET^PART"}
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        first = write_dicom(tmp_path / "a.dcm", **tags)
        path = write_dicom(tmp_path / "b.dcm", RescaleSlope=123456, RescaleIntercept=0, **tags)
        path.write_bytes(path.read_bytes().replace(b"123456", b"SECRET"))
        caplog.clear()
        raised.clear()
        radiograph = read_radiograph(first)
        with pytest.raises(RadiographError) as error:
            read_radiograph(path)
    told = [*radiograph.warnings, str(error.value), caplog.text, *capfd.readouterr(), *map(str, raised)]
    assert not any("secret" in text.lower() or "1970" in text for text in told)
    assert raised == []
    assert error.value.__suppress_context__


def test_patient_is_read_without_the_pixels(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", data=b"", PatientID=" 7 ", IssuerOfPatientID="HOSPITAL ")
    assert read_patient(path) == ("7", "HOSPITAL")


def test_patient_without_issuer_or_id(tmp_path):
    assert read_patient(write_dicom(tmp_path / "a.dcm", PatientID=None)) == ("", "")


def test_patient_id_with_a_backslash_stays_whole(tmp_path):
    assert read_patient(write_dicom(tmp_path / "a.dcm", PatientID=["A", "1"])) == ("A\\1", "")


def test_patient_of_a_file_that_is_not_dicom(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert read_patient(tmp_path / "a.png") is None


def test_unknown_photometric_interpretation_is_damage_not_color(tmp_path):
    for value, code in (("MONOCHROME3", "damaged"), ("PALETTE COLOR", "color")):
        with pytest.raises(RadiographError, match=r"PhotometricInterpretation is|PALETTE COLOR") as error:
            read_radiograph(write_dicom(tmp_path / "a.dcm", PhotometricInterpretation=value))
        assert error.value.code == code
