import numpy as np
import pydicom
import pytest
from pydicom import uid

from medseg.radiograph import read_radiograph
from tests.support.codestreams import FRAMES, TWELVE_BITS, compress, jpeg
from tests.support.dicom_files import encode_lossless_jpeg, phantom, write_dicom

SHARP = np.where(phantom() > 1700, 1023, 0).astype(np.uint16)
SIGNED = SHARP.astype(np.int16) - 512
J2K = {"encoding_plugin": "pylibjpeg", "j2k_psnr": [35]}
NEAR = {"encoding_plugin": "pyjpegls", "jls_error": 5}
TEN = {"BitsStored": 10, "HighBit": 9}
CLIPPED = "values outside the range of BitsStored, an effect of lossy compression, were clipped"
MASKED = "bits above BitsStored were set; they were removed"


def assert_read(path, expected, *warnings):
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, expected)
    assert radiograph.warnings == warnings


def ringing(pixels):
    """`pixels` as a lossy codec leaves them, with values beyond their range at both ends."""
    noise = np.random.default_rng(0).integers(-60, 61, pixels.shape)
    return (pixels.astype(int) + noise).clip(0 if pixels.dtype.kind == "u" else None).astype(pixels.dtype)


def write_native(path, cells, syntax=uid.ExplicitVRLittleEndian, **tags):
    order = "<" if syntax.is_little_endian else ">"
    return write_dicom(path, cells, syntax=syntax, data=cells.astype(cells.dtype.newbyteorder(order)).tobytes(), **tags)


@pytest.mark.parametrize(
    ("pixels", "syntax", "options", "limits"),
    [
        (SHARP, uid.JPEG2000, J2K, (0, 1023)),
        (SIGNED, uid.JPEG2000, J2K, (-512, 511)),
        (SHARP, uid.JPEGLSNearLossless, NEAR, (0, 1023)),
        (SIGNED, uid.JPEGLSNearLossless, NEAR, (-512, 511)),
        (SIGNED + 512, uid.JPEG2000, J2K, (-512, 511)),  # no value is negative
    ],
)
def test_lossy_codestream_of_more_bits_is_clipped(tmp_path, pixels, syntax, options, limits):
    frame = compress(pixels, syntax, options)  # twelve bits
    assert frame.decoded.max() > limits[1]
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=syntax, frame=frame.data, **TEN)
    assert_read(path, frame.decoded.clip(*limits), CLIPPED)


def test_baseline_jpeg_of_seven_bits_is_clipped(tmp_path):
    frame = jpeg((SHARP >> 3).astype(np.uint8), quality=60)
    assert frame.decoded.max() > 127
    path = write_dicom(tmp_path / "a.dcm", frame.pixels, syntax=frame.syntax, frame=frame.data, BitsStored=7, HighBit=6)
    assert_read(path, frame.decoded.clip(0, 127), CLIPPED)


def test_twelve_bit_jpeg_of_ten_bits_is_clipped(tmp_path):
    options = {"pixels": TWELVE_BITS.pixels, "syntax": TWELVE_BITS.syntax, "frame": TWELVE_BITS.data}
    whole = read_radiograph(write_dicom(tmp_path / "whole.dcm", **options)).pixels  # equal to SimpleITK's: test_frame
    assert whole.max() > 4000
    assert_read(write_dicom(tmp_path / "a.dcm", **options, **TEN), whole.clip(0, 1023), CLIPPED)


@pytest.mark.parametrize(("name", "syntax"), [("j2k", uid.JPEG2000), ("htj2k", uid.HTJ2K)])
def test_reversible_codestream_of_a_general_syntax_is_masked(tmp_path, name, syntax):
    pixels, data = FRAMES[name].pixels, FRAMES[name].data
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=syntax, frame=data, **TEN)
    assert_read(path, pixels & 1023, MASKED)
    assert read_radiograph(path).lossy  # as the syntax says
    write_dicom(path, pixels, syntax=syntax, frame=data, LossyImageCompression="01", **TEN)
    assert_read(path, pixels.clip(0, 1023), CLIPPED)


@pytest.mark.parametrize("syntax", [uid.JPEGLSNearLossless, uid.JPEGLSLossless])
def test_jpeg_ls_without_loss_is_masked_whatever_the_syntax(tmp_path, syntax):
    path = write_dicom(tmp_path / "a.dcm", syntax=syntax, frame=FRAMES["jpegls"].data, **TEN)
    assert_read(path, phantom() & 1023, MASKED)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize(("pixels", "limits"), [(SHARP, (0, 1023)), (SIGNED, (-512, 511))])
def test_pixels_decompressed_from_a_lossy_original_are_clipped(tmp_path, syntax, pixels, limits):
    cells = ringing(pixels)
    path = write_native(tmp_path / "a.dcm", cells, syntax, LossyImageCompression="01", **TEN)
    assert_read(path, cells.clip(*limits), CLIPPED)
    write_native(path, cells, syntax, LossyImageCompression="00", **TEN)
    wrapped = (cells.astype(int) - limits[0]) % 1024 + limits[0]
    assert_read(path, wrapped, *([MASKED] if pixels is SHARP else []))


def test_lossless_jpeg_of_a_lossy_original_is_clipped(tmp_path):
    cells = ringing(SHARP)
    frame = encode_lossless_jpeg(cells, 12)
    path = write_dicom(
        tmp_path / "a.dcm", cells, syntax=uid.JPEGLosslessSV1, frame=frame, LossyImageCompression="01", **TEN
    )
    assert_read(path, cells.clip(0, 1023), CLIPPED)


@pytest.mark.parametrize("cells", [ringing(SHARP >> 3).astype(np.uint8), ringing(SHARP << 5).astype(np.uint32)])
def test_eight_and_thirty_two_bits_of_a_lossy_original_are_clipped(tmp_path, cells):
    stored = 7 if cells.dtype == np.uint8 else 15
    tags = {"LossyImageCompression": "01", "BitsStored": stored, "HighBit": stored - 1}
    assert_read(write_native(tmp_path / "a.dcm", cells, **tags), cells.clip(0, (1 << stored) - 1), CLIPPED)


def test_left_aligned_cells_of_a_lossy_original_have_nothing_beyond(tmp_path):
    path = write_native(tmp_path / "a.dcm", phantom() << 4, LossyImageCompression="01", HighBit=15)
    assert_read(path, phantom(), "HighBit is 15, but BitsStored is 12 and BitsAllocated is 16")


@pytest.mark.parametrize("above", [0x0000, 0xF000], ids=["clear", "extended"])
def test_sign_of_a_lossy_original_may_lie_in_bits_stored_alone(tmp_path, above):
    pixels = phantom().astype(np.int16) - 2048
    cells = np.where(pixels < 0, (pixels.astype(np.uint16) & 0x0FFF) | above, pixels.astype(np.uint16))
    path = write_native(tmp_path / "a.dcm", cells.astype(np.uint16), PixelRepresentation=1, LossyImageCompression="01")
    assert_read(path, pixels)


def write_overlay(path, position, data=None, **tags):
    write_dicom(path, phantom() | ((phantom() > 2000).astype(np.uint16) << 15), **tags)
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x60020100, "US", 16)
    dataset.add_new(0x60020102, "US", position)
    if data:
        dataset.add_new(0x60023000, "OW", data)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("compress", [None, {"encoding_plugin": "pydicom"}], ids=["native", "RLE"])
def test_overlay_in_the_upper_bits_of_a_lossy_original_is_masked(tmp_path, compress):
    tags = {"LossyImageCompression": "01", "compress": compress}
    tags |= {"syntax": uid.RLELossless} if compress else {}
    assert_read(write_overlay(tmp_path / "a.dcm", 15, **tags), phantom(), MASKED)


@pytest.mark.parametrize(("position", "data"), [(0, bytes(960)), (15, bytes(960)), (11, None), (0, None)])
def test_overlay_that_is_elsewhere_masks_nothing(tmp_path, position, data):
    path = write_overlay(tmp_path / "a.dcm", position, data, LossyImageCompression="01")
    assert_read(path, np.where(phantom() > 2000, 4095, phantom()), CLIPPED)


@pytest.mark.parametrize("lossy", ["00", "01"])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("stored", [5, 12, 16])
def test_what_lies_within_the_range_stays_as_it_is(tmp_path, lossy, kind, stored):
    half = 1 << (stored - 1) if kind == np.int16 else 0
    values = (np.linspace(0, (1 << stored) - 1, 4096).round() - half).astype(kind).reshape(64, 64)
    tags = {"BitsStored": stored, "HighBit": stored - 1, "LossyImageCompression": lossy}
    assert_read(write_native(tmp_path / "a.dcm", values, **tags), values)
