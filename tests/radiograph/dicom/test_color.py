"""Color DICOM images, gray or not."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import ExplicitVRBigEndian, JPEGBaseline8Bit, JPEGLossless, JPEGLosslessSV1, RLELossless

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from tests.support.dicom_files import encode_lossless_jpeg, phantom, write_dicom

EIGHT = (phantom() >> 4).astype(np.uint8).clip(0, 200)
RGB = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}


def write_rgb(path, pixels, **options):
    return write_dicom(path, pixels[:, :, 0], **{"data": pixels.tobytes(), **RGB, **options})


def palette(red, green, blue, first=0, bits=8):
    name = "PaletteColorLookupTable"
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for color, entries in {"Red": red, "Green": green, "Blue": blue}.items():
        tags[f"{color}{name}Descriptor"] = [len(entries), first, bits]
        tags[f"{color}{name}Data"] = np.asarray(entries, f"<u{bits // 8}").tobytes()
    return tags


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_of_gray_is_gray(tmp_path, planar):
    gray = np.stack([EIGHT] * 3, axis=2)
    data = (gray if planar == 0 else gray.transpose(2, 0, 1)).tobytes()
    radiograph = read_radiograph(
        write_rgb(tmp_path / "a.dcm", gray, data=data, PlanarConfiguration=planar), color="refuse"
    )
    np.testing.assert_array_equal(radiograph.pixels, EIGHT)
    assert radiograph.pixels.dtype == np.float32
    assert radiograph.warnings == ()


def test_rgb_is_taken_for_gray_as_the_same_png_is(tmp_path):
    tinted = np.stack([EIGHT, EIGHT + 9, EIGHT + 4], axis=2)
    Image.fromarray(tinted).save(tmp_path / "a.png")
    png, dicom = (read_radiograph(path) for path in (tmp_path / "a.png", write_rgb(tmp_path / "a.dcm", tinted)))
    np.testing.assert_array_equal(dicom.pixels, png.pixels)
    assert dicom.warnings == png.warnings != ()


def test_gray_that_a_jpeg_keeps_as_ybr(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.stack([EIGHT] * 3, axis=2)).save(buffer, "JPEG", quality=95)
    path = write_dicom(
        tmp_path / "a.dcm", EIGHT, syntax=JPEGBaseline8Bit, frame=buffer.getvalue(),
        **{**RGB, "PhotometricInterpretation": "YBR_FULL_422"},
    )  # fmt: skip
    radiograph = read_radiograph(path)
    assert np.abs(radiograph.pixels - np.asarray(Image.open(buffer).convert("L")).astype(int)).max() <= 2
    assert (radiograph.lossy, radiograph.warnings) == (True, ())


@pytest.mark.parametrize(("bits", "first"), [(8, 0), (8, 20), (16, 0), (16, 20)])
def test_palette_of_grays(tmp_path, bits, first):
    entries = (np.arange(200)[::-1] * (1 if bits == 8 else 257)).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", EIGHT, **palette(*[entries] * 3, first=first, bits=bits))
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, entries[np.clip(EIGHT.astype(int) - first, 0, 199)])
    dataset = pydicom.dcmread(path)
    np.testing.assert_array_equal(radiograph.pixels, apply_color_lut(dataset.pixel_array, dataset)[:, :, 0])


def test_palette_of_big_endian_words(tmp_path):
    entries = np.arange(256)[::-1] * 257
    tags = palette(*[entries] * 3, bits=16)
    tags |= {key: np.asarray(entries, ">u2").tobytes() for key in tags if key.endswith("Data")}
    path = write_dicom(tmp_path / "a.dcm", EIGHT, syntax=ExplicitVRBigEndian, **tags)
    np.testing.assert_array_equal(read_radiograph(path).pixels, entries[EIGHT])


def test_palette_of_colors_is_read_where_color_is_asked_for(tmp_path):
    levels = np.arange(256)
    path = write_dicom(tmp_path / "a.dcm", EIGHT, **palette(levels, 255 - levels, levels // 2))
    expected = np.stack([EIGHT, 255 - EIGHT, EIGHT // 2], axis=2)
    np.testing.assert_array_equal(read_radiograph(path, color="rgb").pixels, expected)
    with pytest.raises(RadiographError, match="is a color image") as error:
        read_radiograph(path)
    assert error.value.code == "color"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"RedPaletteColorLookupTableDescriptor": None}, "RedPaletteColorLookupTable is missing or unusable"),
        ({"GreenPaletteColorLookupTableData": b"\0\0"}, "GreenPaletteColorLookupTable is missing or unusable"),
        ({"BluePaletteColorLookupTableData": None}, "BluePaletteColorLookupTable is missing or unusable"),
        ({"SegmentedRedPaletteColorLookupTableData": b"\1\0\xff\xff\0\0"}, "segmented palette"),
    ],
)
def test_palette_that_is_not_there_is_told(tmp_path, change, reason):
    path = write_dicom(tmp_path / "a.dcm", EIGHT, **(palette(*[np.arange(256)] * 3) | change))
    with pytest.raises(RadiographError, match=reason) as error:
        read_radiograph(path)
    assert error.value.code == "color"


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize(("syntax", "predictor"), [(JPEGLosslessSV1, 1), (JPEGLossless, 4)])
def test_color_in_lossless_jpeg(tmp_path, photometric, syntax, predictor):
    rgb = np.stack([EIGHT, EIGHT[::-1], EIGHT[:, ::-1]], axis=2)
    options = {"syntax": syntax, **RGB, "PhotometricInterpretation": photometric}
    for color, pixels in (("refuse", np.stack([EIGHT] * 3, axis=2)), ("rgb", rgb)):
        stored = pixels if photometric == "RGB" else convert_color_space(pixels, "RGB", "YBR_FULL")
        frame = encode_lossless_jpeg(stored, 8, predictor)
        radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", EIGHT, frame=frame, **options), color=color)
        shown = stored if photometric == "RGB" else convert_color_space(stored, "YBR_FULL", "RGB")
        np.testing.assert_array_equal(radiograph.pixels, shown if color == "rgb" else EIGHT)
        assert (radiograph.lossy, radiograph.warnings) == (False, ())
    gray = write_dicom(tmp_path / "a.dcm", EIGHT, frame=encode_lossless_jpeg(EIGHT, 8), **options)
    with pytest.raises(RadiographError, match="1 components, but SamplesPerPixel is 3"):
        read_radiograph(gray)


def test_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", EIGHT, syntax=RLELossless, frame=bytes(64), Rows=20000, Columns=20000, **RGB)
    with pytest.raises(RadiographError, match="claims 20000 x 20000 pixels"):
        read_radiograph(path)
