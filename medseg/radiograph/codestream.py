"""What a compressed picture says of its own size, read without decoding it.

Decoders allocate what the codestream claims: one of 20 bytes can ask for 10 GB or abort the interpreter.
"""

import struct
from dataclasses import dataclass

from medseg.errors import RadiographError

_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_STANDALONE = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True)
class Codestream:
    """The frame header of a JPEG, JPEG-LS or JPEG 2000 codestream."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits of one sample."""
    signed: bool
    process: int
    """The start-of-frame marker of a JPEG (0xC3 is lossless, 0xF7 is JPEG-LS), 0 for JPEG 2000."""


def scan_jpeg(data: bytes) -> Codestream:
    """The frame header of a JPEG or JPEG-LS (ITU-T T.81 B.2.2, T.87 C.2.2). Raises `RadiographError`."""
    if data[:2] != b"\xff\xd8":
        raise RadiographError("the compressed picture does not start like a JPEG")
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise RadiographError("the JPEG header is damaged")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker in _START_OF_FRAME and position + 10 <= len(data):
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, position + 4)
            return Codestream(rows, columns, components, precision, False, marker)
        else:
            position += 2 + max(2, *struct.unpack_from(">H", data, position + 2))
    raise RadiographError("the compressed picture has no frame header")


def scan_jpeg2000(data: bytes) -> Codestream:
    """The SIZ segment of a JPEG 2000 or HTJ2K codestream, bare or in a JP2 box (ITU-T T.800 A.5.1).

    Raises `RadiographError`.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 45:
        raise RadiographError("the compressed picture does not start like a JPEG 2000")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    depth, step_x, step_y = struct.unpack_from(">3B", data, start + 42)
    if not step_x or not step_y:
        raise RadiographError("the JPEG 2000 header is damaged")
    rows = -(-bottom // step_y) + (-top // step_y)
    columns = -(-right // step_x) + (-left // step_x)
    return Codestream(rows, columns, components, (depth & 0x7F) + 1, bool(depth & 0x80), 0)


def check_jpeg_length(length: int, rows: int, columns: int, lossless: bool = False) -> None:
    """Raise `RadiographError` where a JPEG of `length` bytes cannot hold its picture: a Huffman code has a bit or more.

    Lossless, there is one code a sample, else at least one a block of 64, for its mean (ITU-T T.81 F.1.2, H.1.2).
    Decoders fill what is missing silently, however much that is.
    """
    if length < rows * columns // (8 if lossless else 512):
        raise RadiographError(f"the compressed picture has {length} bytes, too few for {rows} x {columns} pixels")


def check_tiles(data: bytes) -> None:
    """Raise `RadiographError` where a JPEG 2000 codestream does not hold each tile to its end (ITU-T T.800 A.4.2).

    Decoders fill what is missing silently.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", data, start + 8)
    if not width or not height:
        raise RadiographError("the JPEG 2000 header is damaged")
    number = -(-(right - left) // width) * -(-(bottom - top) // height)
    position, tiles = start + 2, set()
    while position + 12 <= len(data):
        if data[position : position + 2] == b"\xff\x90":
            tile, length = struct.unpack_from(">HI", data, position + 4)
            tiles.add(tile)
            position += max(length, 12) if length else len(data)  # no length: up to the end
        elif not tiles:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
        else:
            break
    if len(tiles) < number or (position > len(data) and length):
        raise RadiographError(f"the compressed picture is cut short ({len(tiles)} of {number} tiles)")


def check_end(data: bytes) -> None:
    """Raise `RadiographError` where the end-of-image marker, shared by all JPEG families, is missing.

    Several decoders fill the rest of a cut picture silently.
    """
    if not data.rstrip(b"\x00\xff").endswith(b"\xff\xd9"):
        raise RadiographError("the compressed picture is cut short (no end-of-image marker)")
