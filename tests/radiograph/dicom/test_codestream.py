import io
import struct

import numpy as np
import pytest
from PIL import Image

from medseg.errors import RadiographError
from medseg.radiograph.dicom.codestream import (
    check_jpeg_length,
    find_jpeg2000_end,
    find_jpeg_end,
    scan_jpeg,
    scan_jpeg2000,
)
from tests.support.codestreams import EOI, FRAMES
from tests.support.dicom_files import HTJ2K_FRAME, JPEG12_FRAME, encode_lossless_jpeg, phantom


def saved(mode, **options):
    buffer = io.BytesIO()
    Image.new(mode, (30, 20)).save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("mode", "components"), [("L", 1), ("RGB", 3)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"x" * 3000}])
def test_jpeg_header(mode, components, options):
    stream = scan_jpeg(saved(mode, format="JPEG", **options))
    assert (stream.rows, stream.columns, stream.components, stream.precision) == (20, 30, components, 8)
    assert stream.process == (0xC2 if "progressive" in options else 0xC0)


def test_twelve_bit_and_lossless_jpeg_headers():
    stream = scan_jpeg(JPEG12_FRAME)
    assert (stream.rows, stream.columns, stream.precision, stream.process) == (24, 20, 12, 0xC1)
    stream = scan_jpeg(encode_lossless_jpeg(phantom(8, 6), 16))
    assert (stream.rows, stream.columns, stream.precision, stream.process) == (8, 6, 16, 0xC3)


@pytest.mark.parametrize("extension", ["j2k", "jp2"])
def test_jpeg2000_header_bare_and_in_a_box(extension):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(buffer, "JPEG2000", no_jp2=extension == "j2k")
    stream = scan_jpeg2000(buffer.getvalue())
    assert (stream.rows, stream.columns, stream.components, stream.precision, stream.signed) == (20, 30, 1, 8, False)


def test_htj2k_header():
    stream = scan_jpeg2000(HTJ2K_FRAME)
    assert (stream.rows, stream.columns, stream.components, stream.precision) == (24, 20, 1, 16)


def test_jpeg2000_with_an_offset_and_a_sign():
    # by hand, ITU-T T.800 A.5.1: reference grid 10 x 9, image offset (3, 2), one signed component of 12 bits
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HH8IHBBB", 41, 0, 10, 9, 3, 2, 10, 9, 0, 0, 1, 0x8B, 1, 1)
    stream = scan_jpeg2000(siz + bytes(8))
    assert (stream.rows, stream.columns, stream.precision, stream.signed) == (7, 7, 12, True)


def cod(levels):
    return b"\xff\x52" + struct.pack(">HB4x5B", 12, 0, levels, 4, 4, 0, 1)


@pytest.mark.parametrize(
    ("grid", "codings", "levels"),
    [
        ((10, 9, 0, 0), cod(5), 5),
        ((10, 9, 0, 0), cod(5) + cod(3), 3),
        ((10, 9, 0, 0), b"", 0),
        ((10, 9, 1, 0), cod(5), 0),
        ((10, 9, 0, 1), cod(5), 0),
    ],
)
def test_jpeg2000_levels_that_can_be_left_out(grid, codings, levels):
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HH8IHBBB", 41, 0, *grid, 10, 9, 0, 0, 1, 11, 1, 1)
    assert scan_jpeg2000(siz + codings + b"\xff\x90" + bytes(10)).levels == levels


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x00" * 3, bytes(100), b"\xff" * 50]
)
@pytest.mark.parametrize("scan", [scan_jpeg, scan_jpeg2000])
def test_damaged_headers_are_refused(scan, data):
    with pytest.raises(RadiographError):
        scan(data)


@pytest.mark.parametrize(
    ("name", "lossy"),
    [
        *(("jpeg", True), ("progressive", True), ("lossless", False), ("jpegls", False), ("near", True)),
        *(("j2k", False), ("j2k-lossy", True), ("htj2k", False)),
    ],
)
def test_codestream_tells_whether_it_is_lossy(name, lossy):
    scan = scan_jpeg2000 if "j2k" in name else scan_jpeg
    assert scan(FRAMES[name].data).lossy == lossy


@pytest.mark.parametrize("name", ["jpeg", "progressive", "lossless", "jpegls", "near"])
def test_end_of_a_jpeg(name):
    data = FRAMES[name].data
    assert find_jpeg_end(data) == find_jpeg_end(data + b" \xff\xd9") == len(data)
    for cut in (1, 2, 3, 90, len(data) - 2):
        with pytest.raises(RadiographError, match="cut short"):
            find_jpeg_end(data[:-cut])


def test_end_markers_before_a_scan_are_none():
    with pytest.raises(RadiographError, match="cut short"):
        find_jpeg_end(b"\xff\xd8" + EOI + b"\xff\xe1\x00\x04" + EOI + EOI)


def tiled():
    """Twelve tiles."""
    buffer = io.BytesIO()
    Image.fromarray((phantom() >> 4).astype(np.uint8)).save(buffer, "JPEG2000", no_jp2=True, tile_size=(27, 24))
    return buffer.getvalue()


@pytest.mark.parametrize("data", [tiled(), HTJ2K_FRAME, FRAMES["j2k"].data], ids=["tiled", "htj2k", "j2k"])
def test_end_of_a_jpeg2000(data):
    last = data.rindex(b"\xff\x90\x00\x0a")
    open_ended = data[: last + 6] + bytes(4) + data[last + 10 :]  # a length of 0: up to the end
    for stream in (data, open_ended):
        assert find_jpeg2000_end(stream) == find_jpeg2000_end(stream + b" " + EOI) == len(data)
        with pytest.raises(RadiographError, match="cut short"):
            find_jpeg2000_end(stream[:-2])


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_tiles_that_are_missing_or_cut_are_refused_whatever_the_end_says(keep):
    data = tiled()
    with pytest.raises(RadiographError, match=r"cut short .\d+ of 12 tiles"):
        find_jpeg2000_end(data[: int(keep * len(data))] + b"\xff\xd9")


@pytest.mark.parametrize(("at", "value"), [(12, 97), (8, 82), (12, 0xFFFFFFFF), (24, 0), (24, 1)])
def test_a_size_that_asks_for_other_tiles_is_refused(at, value):
    # reference grid and tile size stand as columns and rows behind SOC, SIZ, Lsiz and Rsiz (ITU-T T.800 A.5.1)
    data = tiled()
    with pytest.raises(RadiographError, match=r"of \d+ tiles|header is damaged"):
        find_jpeg2000_end(data[:at] + struct.pack(">I", value) + data[at + 4 :])


def test_jpeg_that_is_too_short_for_its_pixels_is_refused():
    check_jpeg_length(1000, 800, 640)
    check_jpeg_length(1000, 80, 100, lossless=True)
    for length, lossless in ((999, False), (63999, True)):
        with pytest.raises(RadiographError, match=f"has {length} bytes, too few for 800 x 640 pixels"):
            check_jpeg_length(length, 800, 640, lossless=lossless)
