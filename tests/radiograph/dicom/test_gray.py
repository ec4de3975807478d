import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from tests.support.dicom_files import make_dataset, phantom, write_dicom


def lut_item(entries, first=0, bits=12, **tags):
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = [int(entry) for entry in entries]
    item["LUTData"].VR = "US"
    item.ModalityLUTType = "US"
    return item


def read(tmp_path, pixels=None, *, presentation="stored", **tags):
    return read_radiograph(write_dicom(tmp_path / "a.dcm", pixels, **tags), presentation=presentation)


def test_rescale_gives_modality_values(tmp_path):
    pixels = read(tmp_path, RescaleSlope=0.5, RescaleIntercept=-100).pixels
    np.testing.assert_array_equal(pixels, phantom() * 0.5 - 100)


def test_monochrome1_is_turned_round_over_the_range_of_the_stored_values(tmp_path):
    np.testing.assert_array_equal(
        read(tmp_path, PhotometricInterpretation="MONOCHROME1").pixels, 4095 - phantom().astype(int)
    )


def test_monochrome1_after_rescale_is_turned_round_over_the_modality_range(tmp_path):
    # the stored values 0 to 4095 become -100 to 8090: low + high = 7990
    pixels = read(tmp_path, PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=-100).pixels
    np.testing.assert_array_equal(pixels, 7990 - (phantom().astype(int) * 2 - 100))


def test_signed_monochrome1_keeps_its_range(tmp_path):
    signed = phantom().astype(np.int16) - 2048  # -2048 to 2047: low + high = -1
    np.testing.assert_array_equal(read(tmp_path, signed, PhotometricInterpretation="MONOCHROME1").pixels, -1 - signed)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_presentation_lut_shape_never_inverts_twice(tmp_path, photometric):
    plain = read(tmp_path, PhotometricInterpretation=photometric)
    for shape in ("INVERSE", "IDENTITY"):
        shaped = read(tmp_path, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
        np.testing.assert_array_equal(shaped.pixels, plain.pixels)
        contradicts = (shape == "INVERSE") != (photometric == "MONOCHROME1")
        assert any("contradicts" in warning for warning in shaped.warnings) == contradicts


def test_modality_lut_equals_pydicom(tmp_path):
    item = lut_item((np.arange(3000) * 1.3) ** 1.02, first=500, bits=16)
    dataset = make_dataset(ModalityLUTSequence=[item])
    pixels = read(tmp_path, ModalityLUTSequence=[item]).pixels
    np.testing.assert_array_equal(pixels, apply_modality_lut(phantom(), dataset))


def test_modality_lut_of_signed_values_with_a_negative_first_input(tmp_path):
    item = lut_item(np.arange(4096)[::-1], first=-2048)
    signed = phantom().astype(np.int16) - 2048
    np.testing.assert_array_equal(
        read(tmp_path, signed, ModalityLUTSequence=[item]).pixels, 4095 - phantom().astype(int)
    )


def test_modality_lut_with_monochrome1_is_turned_round_over_the_reachable_entries(tmp_path):
    item = lut_item(np.arange(4096) // 2 + 10)  # 10 to 2057
    pixels = read(tmp_path, ModalityLUTSequence=[item], PhotometricInterpretation="MONOCHROME1").pixels
    np.testing.assert_array_equal(pixels, 2067 - (phantom().astype(int) // 2 + 10))


def test_modality_lut_in_bytes(tmp_path):
    item = lut_item(np.arange(4096))
    item["LUTData"].VR = "OW"
    item.LUTData = (np.arange(4096, dtype="<u2") ^ 1).tobytes()
    np.testing.assert_array_equal(read(tmp_path, ModalityLUTSequence=[item]).pixels, phantom() ^ 1)


def test_modality_lut_beats_a_rescale_slope_with_a_warning(tmp_path):
    radiograph = read(tmp_path, ModalityLUTSequence=[lut_item(np.arange(4096))], RescaleSlope=3, RescaleIntercept=0)
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert any("LUT was used" in warning for warning in radiograph.warnings)


def test_modality_lut_that_is_too_short_is_refused(tmp_path):
    item = lut_item(np.arange(100))
    item.LUTDescriptor = [4096, 0, 12]
    with pytest.raises(RadiographError, match="ModalityLUTSequence: LUTDescriptor announces 4096 entries"):
        read(tmp_path, ModalityLUTSequence=[item])


@pytest.mark.parametrize(
    ("slope", "intercept", "reason"),
    [(0, 0, "RescaleSlope"), ("NaN", 0, "RescaleSlope"), ("inf", 0, "RescaleSlope"), (1, "NaN", "RescaleIntercept")],
)
def test_impossible_rescale_is_refused(tmp_path, slope, intercept, reason):
    with pytest.raises(RadiographError, match=reason):
        read(tmp_path, RescaleSlope=slope, RescaleIntercept=intercept)


def test_slope_that_overflows_is_refused(tmp_path):
    with pytest.raises(RadiographError, match="NaN or infinite"):
        read(tmp_path, RescaleSlope=1e300, RescaleIntercept=0)


def test_slope_without_intercept_is_lived_with(tmp_path):
    radiograph = read(tmp_path, RescaleSlope=2)
    np.testing.assert_array_equal(radiograph.pixels, phantom() * 2)
    assert any("RescaleIntercept is missing" in warning for warning in radiograph.warnings)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_equals_pydicom(tmp_path, function):
    tags = {"WindowCenter": 1500, "WindowWidth": 1200, "VOILUTFunction": function}
    expected = apply_voi_lut(phantom(), make_dataset(**tags))
    np.testing.assert_allclose(read(tmp_path, presentation="voi", **tags).pixels, expected, rtol=1e-6, atol=1e-3)


def test_stored_presentation_takes_no_window(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, WindowCenter=1500, WindowWidth=1200).pixels, phantom())


def test_window_of_rescaled_signed_values_equals_pydicom(tmp_path):
    signed = phantom().astype(np.int16) - 2048
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": [-500, 3], "WindowWidth": [900, 4]}
    dataset = make_dataset(signed, **tags)
    expected = apply_voi_lut(apply_modality_lut(signed, dataset), dataset, index=0)
    pixels = read(tmp_path, signed, presentation="voi", **tags).pixels
    np.testing.assert_allclose(pixels, expected, rtol=1e-6, atol=1e-3)


def test_window_of_width_one_is_a_step(tmp_path):
    pixels = read(tmp_path, presentation="voi", WindowCenter=1500, WindowWidth=1).pixels
    np.testing.assert_array_equal(pixels, np.where(phantom() > 1499.5, 4095, 0))


def test_voi_of_monochrome1_is_windowed_first_and_turned_round_last(tmp_path):
    tags = {"WindowCenter": 1500, "WindowWidth": 1200}
    windowed = apply_voi_lut(phantom(), make_dataset(**tags))
    pixels = read(tmp_path, presentation="voi", PhotometricInterpretation="MONOCHROME1", **tags).pixels
    np.testing.assert_allclose(pixels, 4095 - windowed, rtol=1e-6, atol=1e-3)


def test_voi_lut_equals_pydicom_and_beats_the_window(tmp_path):
    item = lut_item(np.sqrt(np.arange(3000)) * 900, first=400, bits=16)
    tags = {"VOILUTSequence": [item], "WindowCenter": 10, "WindowWidth": 20}
    expected = apply_voi_lut(phantom(), make_dataset(**tags))
    np.testing.assert_array_equal(read(tmp_path, presentation="voi", **tags).pixels, expected)
    inverse = read(tmp_path, presentation="voi", PhotometricInterpretation="MONOCHROME1", **tags).pixels
    np.testing.assert_array_equal(inverse, 65535 - expected.astype(int))


def test_voi_lut_of_eight_bits_in_bytes(tmp_path):
    item = lut_item(np.arange(512), bits=8)
    item["LUTData"].VR = "OW"
    item.LUTData = bytes(range(256)) * 2
    pixels = read(tmp_path, presentation="voi", VOILUTSequence=[item]).pixels
    np.testing.assert_array_equal(pixels, phantom().clip(0, 511) % 256)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"WindowCenter": 1500, "WindowWidth": 0},
        {"WindowCenter": 1500, "WindowWidth": 0.5},
        {"WindowCenter": 1500, "WindowWidth": -5, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": "NaN", "WindowWidth": 100},
        {"WindowCenter": 1500},
        {"WindowCenter": 1500, "WindowWidth": 100, "VOILUTFunction": "CUBIC"},
    ],
)
def test_unusable_window_falls_back_to_modality_values_with_a_warning(tmp_path, tags):
    radiograph = read(tmp_path, presentation="voi", **tags)
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert len(radiograph.warnings) == 1
    assert radiograph.warnings[0].endswith("the modality values were used instead")


def test_text_in_the_window_center_falls_back_too(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", WindowCenter=1500, WindowWidth=100)
    path.write_bytes(path.read_bytes().replace(b"DS\x06\x001500.0", b"DS\x06\x00abcdef"))
    radiograph = read_radiograph(path, presentation="voi")
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert "WindowCenter or WindowWidth is missing or not a number" in radiograph.warnings[0]


def empty_item(descriptor, data):
    """A LUT item as LEADTOOLS writes all that it knows of; None leaves an attribute out."""
    item = Dataset()
    item.ModalityLUTType = ""
    for keyword, value in (("LUTDescriptor", descriptor), ("LUTExplanation", ""), ("LUTData", data)):
        if value is not None:
            setattr(item, keyword, value)
            item[keyword].VR = "LO" if keyword == "LUTExplanation" else "US"
    return item


EMPTY = {
    "valueless": empty_item([], []),
    "zeros": empty_item([0, 0, 0], []),
    "zeros_alone": empty_item([0, 0, 0], None),
    "nothing": Dataset(),
}


@pytest.mark.parametrize("item", EMPTY.values(), ids=EMPTY.keys())
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_empty_items_are_as_good_as_absent(tmp_path, item, syntax):
    tags = {"ModalityLUTSequence": [item], "VOILUTSequence": [item, item]}
    window = {"RescaleSlope": 2, "RescaleIntercept": 5, "WindowCenter": 2000, "WindowWidth": 3000}
    path = write_dicom(tmp_path / "a.dcm", syntax=syntax, **window, **tags)
    plain = write_dicom(tmp_path / "plain.dcm", syntax=syntax, **window)
    for presentation, count in (("stored", 1), ("voi", 2)):
        radiograph = read_radiograph(path, presentation=presentation)
        np.testing.assert_array_equal(radiograph.pixels, read_radiograph(plain, presentation=presentation).pixels)
        keywords = ("ModalityLUTSequence", "VOILUTSequence")[:count]
        assert radiograph.warnings == tuple(f"an empty item of {keyword} was ignored" for keyword in keywords)


def test_a_table_behind_an_empty_item_is_used(tmp_path):
    table = lut_item(np.arange(4096)[::-1])
    pixels = read(tmp_path, ModalityLUTSequence=[EMPTY["valueless"], table]).pixels
    np.testing.assert_array_equal(pixels, 4095 - phantom().astype(int))


@pytest.mark.parametrize(
    ("descriptor", "data"), [([4096, 0, 12], []), ([4096, 0, 12], None), ([], [1, 2]), (None, [1]), ([0, 0, 12], [])]
)
def test_item_that_is_broken_is_not_taken_for_an_empty_one(tmp_path, descriptor, data):
    with pytest.raises(RadiographError, match="ModalityLUTSequence"):
        read(tmp_path, ModalityLUTSequence=[empty_item(descriptor, data)])
