import io
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from tests.support.codestreams import BYTES, EOI, FRAMES, TWELVE_BITS, Frame, jpeg
from tests.support.dicom_files import write_dicom

ENDING = {name: frame for name, frame in FRAMES.items() if frame.syntax != RLELossless}
JPEGS = {name: frame for name, frame in FRAMES.items() if frame.syntax == JPEGBaseline8Bit}
THUMBNAIL = jpeg(BYTES[:32, :32]).data

every_ending = pytest.mark.parametrize("frame", ENDING.values(), ids=ENDING.keys())
garbage = np.random.default_rng(0).bytes(5001)


def write(path, frame: Frame, data: bytes):
    return write_dicom(path, frame.pixels, syntax=frame.syntax, frame=data)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


@pytest.mark.slow
@every_ending
@pytest.mark.parametrize("padding", [b" ", b" " * 999, b"PADDING", garbage, EOI, b"\0\0LEAD\xff\xd9\0", THUMBNAIL])
def test_padding_behind_the_end_marker_is_read_over(tmp_path, frame, padding):
    radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, frame.data + padding))
    np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
    assert radiograph.warnings == ("bytes after the end marker of the compressed image were ignored",)


@pytest.mark.slow
@every_ending
@pytest.mark.parametrize("padding", [b"", b"\0", b"\xff", bytes(1000), b"\xff" * 1000, b"\0\xff\0"])
def test_zeros_and_ones_behind_the_end_marker_are_usual(tmp_path, frame, padding):
    radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, frame.data + padding))
    np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
    assert not radiograph.warnings


@pytest.mark.slow
@every_ending
@pytest.mark.parametrize("padding", [b"", b" ", bytes(9), b"\xff\0", garbage.replace(b"\xff", b"")])
def test_frame_without_its_end_marker_is_refused_whatever_lies_behind(tmp_path, frame, padding):
    for cut in (2, 40, len(frame.data) // 2):
        with pytest.raises(RadiographError, match="cut short"):
            read_radiograph(write(tmp_path / "a.dcm", frame, frame.data[:-cut] + padding))


@pytest.mark.parametrize("padding", [b"", b" ", bytes(100)])
def test_twelve_bit_jpeg_with_padding(tmp_path, padding):
    path = write(tmp_path / "a.dcm", TWELVE_BITS, TWELVE_BITS.data + padding)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
    np.testing.assert_array_equal(read_radiograph(path).pixels, theirs)
    with pytest.raises(RadiographError, match="cut short"):
        read_radiograph(write(tmp_path / "a.dcm", TWELVE_BITS, TWELVE_BITS.data[:-2] + padding))


@pytest.mark.parametrize("frame", JPEGS.values(), ids=JPEGS.keys())
def test_end_markers_within_segments_do_not_count(tmp_path, frame):
    thumbnail = segment(0xE1, b"Exif\0\0" + THUMBNAIL) + segment(0xFE, EOI * 9)
    whole = frame.data[:2] + thumbnail + frame.data[2:]
    np.testing.assert_array_equal(read_radiograph(write(tmp_path / "a.dcm", frame, whole)).pixels, frame.decoded)
    for cut in (len(thumbnail) + 2, len(thumbnail) + 400, len(whole) - 2):
        with pytest.raises(RadiographError, match=r"cut short|no frame header"):
            read_radiograph(write(tmp_path / "a.dcm", frame, whole[:cut]))


def test_end_markers_between_scans_do_not_count(tmp_path):
    data = FRAMES["progressive"].data
    last = data.rindex(b"\xff\xc4")  # a Huffman table
    with_comment = data[:last] + segment(0xFE, EOI) + data[last:]
    path = write(tmp_path / "a.dcm", FRAMES["progressive"], with_comment + b" ")
    np.testing.assert_array_equal(read_radiograph(path).pixels, FRAMES["progressive"].decoded)
    path = write(tmp_path / "a.dcm", FRAMES["progressive"], with_comment[: last + 6])
    with pytest.raises(RadiographError, match="cut short"):
        read_radiograph(path)


@pytest.mark.parametrize("options", [{"restart_marker_blocks": 3}, {"restart_marker_rows": 1, "progressive": True}])
def test_restart_markers_end_nothing(tmp_path, options):
    frame = jpeg(**options)
    assert b"\xff\xd0" in frame.data
    path = write(tmp_path / "a.dcm", frame, frame.data + b"  ")
    np.testing.assert_array_equal(read_radiograph(path).pixels, frame.decoded)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jpegls", "near"])
@pytest.mark.parametrize("padding", [b"\0", b"\0\0", bytes(7), bytes(1000), b" ", b" " * 50, b"\1\2\3", b"\0\0\0x"])
def test_bytes_before_the_end_marker_of_a_jpeg_ls_are_read_over(tmp_path, name, padding):
    frame = FRAMES[name]
    for end in (EOI, EOI + b"\0", EOI + b" "):
        radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, frame.data[:-2] + padding + end))
        np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
        assert "bytes before the end marker of the compressed image were ignored" in radiograph.warnings


@pytest.mark.parametrize("name", ["jpegls", "near"])
@pytest.mark.parametrize("padding", [b"", b"\0", bytes(7), bytes(1000)])
def test_jpeg_ls_that_is_cut_before_its_end_marker_is_refused(tmp_path, name, padding):
    frame = FRAMES[name]
    for cut in (12, 40, len(frame.data) // 2):
        with pytest.raises(RadiographError, match="cannot be decoded"):
            read_radiograph(write(tmp_path / "a.dcm", frame, frame.data[:-cut] + padding + EOI))


@pytest.mark.parametrize("name", ["jpeg", "progressive", "lossless"])
def test_bytes_before_the_end_marker_of_a_jpeg_are_read_over(tmp_path, name):
    frame = FRAMES[name]
    path = write(tmp_path / "a.dcm", frame, frame.data[:-2] + bytes(6) + b"\xff" + EOI)
    np.testing.assert_array_equal(read_radiograph(path).pixels, frame.decoded)


def test_rle_with_padding_is_read_and_cut_short_refused(tmp_path):
    frame = FRAMES["rle"]
    for padding in (b"\0", bytes(100), b" " * 33):
        path = write(tmp_path / "a.dcm", frame, frame.data + padding)
        np.testing.assert_array_equal(read_radiograph(path).pixels, frame.decoded)
        assert not read_radiograph(path).warnings
    path = write(tmp_path / "a.dcm", frame, frame.data + bytes(1_000_000))
    np.testing.assert_array_equal(read_radiograph(path).pixels, frame.decoded)
    assert read_radiograph(path).warnings == ("bytes after the end of the RLE data were ignored",)
    with pytest.raises(RadiographError, match="cannot be decoded"):
        read_radiograph(write(tmp_path / "a.dcm", frame, frame.data[:-30]))


def test_two_pictures_in_one_frame_give_the_first(tmp_path):
    Image.fromarray(255 - BYTES).save(other := io.BytesIO(), "JPEG")
    path = write(tmp_path / "a.dcm", FRAMES["jpeg"], FRAMES["jpeg"].data + other.getvalue())
    np.testing.assert_array_equal(read_radiograph(path).pixels, FRAMES["jpeg"].decoded)
