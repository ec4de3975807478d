"""Encoding of masks as PNG (ISO/IEC 15948), three times faster than a library that tries filters for each line."""

import struct
import zlib
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY = (8, 0, 0, 0, 0)  # bit depth, color type, compression, filter and interlace method
_ZEROS = 1 << 16
_ADLER = 65521  # RFC 1950


def encode_mask(mask: NDArray[np.bool_], text: Mapping[str, str]) -> bytes:
    """The PNG file of a mask `(rows, columns)` as 8-bit grayscale, 0 and 255. `text` is Latin-1 text by keyword.

    The same mask gives the same bytes.
    """
    rows, columns = mask.shape
    chunks = [(b"IHDR", struct.pack(">II5B", columns, rows, *_GRAY))]
    chunks += [
        (b"tEXt", keyword.encode("latin-1") + b"\0" + words.encode("latin-1")) for keyword, words in text.items()
    ]
    chunks += [(b"IDAT", _pack(mask)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _pack(mask: NDArray[np.bool_]) -> bytes:
    """The unfiltered scanlines, run-length coded, as a zlib stream (RFC 1950). Empty lines at both ends are cached."""
    filled = np.flatnonzero(mask.any(axis=1))
    first, stop = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0)
    lines = np.zeros((stop - first, mask.shape[1] + 1), np.uint8)
    np.multiply(mask[first:stop], np.uint8(255), out=lines[:, 1:])
    above, below = (count * lines.shape[1] for count in (first, len(mask) - stop))
    checksum = _append_zeros(zlib.adler32(lines.data, _append_zeros(1, above)), below)
    packed = _pack_zeros(above) + _pack_blocks(lines.data) + _pack_zeros(below)
    return b"\x78\x01" + packed + b"\x03\x00" + struct.pack(">I", checksum)  # the last block is empty


def _pack_blocks(data: bytes | memoryview) -> bytes:
    """`data` as deflate blocks (RFC 1951) that end at a byte boundary and do not refer to earlier blocks."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


def _pack_zeros(count: int) -> bytes:
    return _packed_zeros() * (count // _ZEROS) + _pack_blocks(bytes(count % _ZEROS))


@cache
def _packed_zeros() -> bytes:
    return _pack_blocks(bytes(_ZEROS))


def _append_zeros(checksum: int, count: int) -> int:
    """The Adler-32 checksum of data with `checksum`, followed by `count` zeros."""
    low, high = checksum & 0xFFFF, checksum >> 16
    return (high + count * low) % _ADLER << 16 | low
