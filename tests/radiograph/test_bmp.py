import struct

import numpy as np
import pytest
from PIL import Image

from medseg.errors import RadiographError
from medseg.radiograph import read_label_image, read_radiograph
from tests.support.dicom_files import phantom

EIGHT = (phantom() >> 4).astype(np.uint8)[:, :77]  # rows that fill no whole words
GRAYS = {1: [0, 255], 4: [17 * level for level in range(16)], 8: list(range(256))}


def write_bmp(path, indices, bits, levels, *, core=False, top_down=False, colors=None, runs=None):
    """A BMP by the book (BITMAPCOREHEADER, BITMAPINFOHEADER) of a palette of gray `levels`."""
    rows, columns = indices.shape
    lines = indices if top_down else indices[::-1]
    bit_planes = (lines[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    packed = np.packbits(bit_planes.reshape(rows, -1).astype(np.uint8), axis=1)
    data = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4))).tobytes() if runs is None else runs
    palette = b"".join(bytes([level] * 3 + ([] if core else [0])) for level in levels)
    height = -rows if top_down else rows
    compression = 0 if runs is None else {8: 1, 4: 2}[bits]
    header = (
        struct.pack("<I4H", 12, columns, rows, 1, bits)
        if core
        else struct.pack("<IiiHHIIiiII", 40, columns, height, 1, bits, compression, len(data), 0, 0, colors or 0, 0)
    )
    offset = 14 + len(header) + len(palette)
    path.write_bytes(b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + data)
    return path


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("form", [{}, {"core": True}, {"top_down": True}], ids=["info", "core", "top-down"])
def test_palette_of_grays_in_any_order(tmp_path, bits, order, form):
    levels, indices = np.array(GRAYS[bits][::order]), EIGHT >> (8 - bits)
    radiograph = read_radiograph(write_bmp(tmp_path / "a.bmp", indices, bits, levels, **form))
    np.testing.assert_array_equal(radiograph.pixels, levels[indices])
    assert (radiograph.kind, radiograph.lossy, radiograph.warnings) == ("bmp", False, ())
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.bmp").values, levels[indices])


@pytest.mark.parametrize(("bits", "colors"), [(8, 2), (4, 2), (4, 16), (8, 3)])
def test_short_palette_does_not_change_the_bits_of_a_pixel(tmp_path, bits, colors):
    """As image libraries take one of black and white, or of 0, 1, 2..., for an image of one bit, or eight."""
    levels = np.array([0, 255] if colors == 2 else range(colors))
    indices = EIGHT % colors
    path = write_bmp(tmp_path / "a.bmp", indices, bits, levels, colors=colors)
    np.testing.assert_array_equal(read_label_image(path).values, levels[indices])


def test_run_lengths_of_8_bits(tmp_path):
    """The example of BI_RLE8 in Microsoft's documentation of bitmap compression."""
    runs = bytes.fromhex("0304 0506 0003 4556 6700 0278 0002 0501 0278 0000 091E 0001".replace(" ", ""))
    path = write_bmp(tmp_path / "a.bmp", np.zeros((3, 20), np.uint8), 8, GRAYS[8], runs=runs)
    pixels = read_label_image(path).values[::-1]
    assert pixels[0].tolist() == [4] * 3 + [6] * 5 + [0x45, 0x56, 0x67, 0x78, 0x78] + [0] * 7
    assert pixels[1].tolist() == [0] * 18 + [0x78] * 2
    assert pixels[2].tolist() == [0x1E] * 9 + [0] * 11


def test_run_lengths_of_4_bits(tmp_path):
    """The example of BI_RLE4 there, its first rows."""
    runs = bytes.fromhex("0304 0506 0006 4556 6700 0478 0000 091E 0001".replace(" ", ""))
    path = write_bmp(tmp_path / "a.bmp", np.zeros((2, 18), np.uint8), 4, range(16), runs=runs)
    pixels = read_label_image(path).values[::-1]
    assert pixels[0].tolist() == [0, 4, 0, 0, 6, 0, 6, 0, 4, 5, 5, 6, 6, 7, 7, 8, 7, 8]
    assert pixels[1].tolist() == [1, 14, 1, 14, 1, 14, 1, 14, 1] + [0] * 9


@pytest.mark.parametrize("behind", [b"\0\2", b"\0\2\1\1" * 9 + b"\0\7ab", b"\xff\1" * 9])
def test_runs_behind_the_last_row_are_not_gone_through(tmp_path, behind):
    runs = b"\3\5\0\0\0\3abc\0\0\0" + behind
    path = write_bmp(tmp_path / "a.bmp", np.zeros((2, 3), np.uint8), 8, GRAYS[8], runs=runs)
    assert read_label_image(path).values.tolist() == [list(b"abc"), [5, 5, 5]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_true_color_of_gray(tmp_path, mode):
    Image.fromarray(EIGHT).convert(mode).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.bmp").pixels, EIGHT)


@pytest.mark.parametrize("end", [-1, -200])
@pytest.mark.parametrize("runs", [None, b"\x05\x07" * 100])
def test_damaged_bmp_is_refused(tmp_path, end, runs):
    path = write_bmp(tmp_path / "a.bmp", EIGHT, 8, GRAYS[8], runs=runs)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(RadiographError, match=r"a\.bmp: .*cut short"):
        read_radiograph(path)
