"""BMP images with at most 8 bits per pixel: palette indices, which Pillow confuses with gray levels."""

import struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError

_CORE = 12
"""Length of the oldest header, BITMAPCOREHEADER."""
_RUNS = {1: 8, 2: 4}
"""Run-length compression number -> bits per pixel."""


def read_palette_bmp(file: BinaryIO) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Return indices `(rows, columns)` and the RGB palette `(256, 3)`; None if pixels have more than 8 bits.

    The caller must check the image size before. Raises `RadiographError`.
    """
    file.seek(0)
    head = file.read(54).ljust(54, b"\0")
    offset, length = struct.unpack_from("<II", head, 10)
    if length == _CORE:
        columns, rows, _, bits = struct.unpack_from("<4H", head, 18)
        compression = colors = 0
    else:
        columns, rows, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
        colors = struct.unpack_from("<I", head, 46)[0]
    if bits > 8:
        return None
    if bits not in (1, 2, 4, 8) or _RUNS.get(compression, bits if compression == 0 else 0) != bits:
        raise RadiographError(
            f"is a BMP with {bits} bits per pixel and compression {compression}, which is not supported"
        )
    file.seek(14 + length)
    entry = 3 if length == _CORE else 4
    stored = np.frombuffer(file.read(entry * min(colors or 1 << bits, 256)), np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    colors = len(stored) // entry
    palette[:colors] = stored[: colors * entry].reshape(colors, entry)[:, 2::-1]
    file.seek(offset)
    shape = abs(rows), columns
    indices = _unpack_rows(file, shape, bits) if compression == 0 else _unpack_runs(file.read(), shape, bits)
    return indices[::-1] if rows > 0 else indices, palette


def _unpack_rows(file: BinaryIO, shape: tuple[int, int], bits: int) -> NDArray[np.uint8]:
    """Read pixels of `bits` each; every row is padded to whole 32-bit words."""
    rows, columns = shape
    stride = (columns * bits + 31) // 32 * 4
    data = file.read(stride * rows)
    if len(data) < stride * rows:
        raise RadiographError(f"is cut short: {len(data)} bytes of pixel data, but {stride * rows} are needed")
    return _unpack(np.frombuffer(data, np.uint8).reshape(rows, stride), bits)[:, :columns]


def _unpack(data: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Split each byte into its `8 / bits` pixels, highest bits first, along the last axis."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    return ((data[..., None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(*data.shape[:-1], -1)


def _unpack_runs(data: bytes, shape: tuple[int, int], bits: int) -> NDArray[np.uint8]:
    """Decompress BI_RLE8 or BI_RLE4: runs of one value (with 4 bits: two alternating values) and literal pixels."""
    rows, columns = shape
    spread = [bytes(pixels) for pixels in _unpack(np.arange(256, dtype=np.uint8)[:, None], bits)]
    indices = bytearray(rows * columns)
    row = column = at = 0
    while at + 2 <= len(data) and row < rows:
        count, value = data[at : at + 2]
        at += 2
        if count == 0 and value == 0:
            row, column = row + 1, 0
        elif count == 0 and value == 1:
            break
        elif count == 0 and value == 2:
            column, row = column + data[at], row + data[at + 1]
            at += 2
        else:
            size = 0 if count else (value * bits + 7) // 8
            pixels = spread[value] * count if count else b"".join(map(spread.__getitem__, data[at : at + size]))
            piece = pixels[: min(count or value, max(columns - column, 0))]
            start = row * columns + column
            indices[start : start + len(piece)] = piece
            column += min(count or value, len(pixels))
            at += size + size % 2
    else:
        if (row, column) < (rows - 1, columns):
            raise RadiographError("is cut short inside its compressed pixels")
    return np.frombuffer(indices, np.uint8).reshape(shape)
