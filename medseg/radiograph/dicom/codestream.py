"""Size, coding and end of a compressed image, read from its codestream without decoding.

Decoders allocate the memory that the codestream claims: 20 bytes can ask for 10 GB or abort the interpreter. Several
decoders fill missing data without an error.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from medseg.errors import RadiographError

LOSSLESS_JPEG, JPEG_LS = 0xC3, 0xF7
"""Start-of-frame markers."""
_START_OF_FRAME = {*range(0xC0, 0xD0), JPEG_LS} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_NEXT_IN_HEADER = re.compile(rb"\xff+[\xc0-\xcf\xd9-\xfe]")
_NEXT_BEHIND_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""Excludes restart markers and stuffed bytes after 0xFF in entropy-coded data (ITU-T T.81 B.1.1.5, T.87 A.1)."""
_SIZ, _COD, _START_OF_TILE, _START_OF_DATA, _END = b"\xff\x51", b"\xff\x52", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_REVERSIBLE = b"\x01"


@dataclass(frozen=True)
class Codestream:
    """Header of a JPEG, JPEG-LS or JPEG 2000 codestream."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits of one sample."""
    signed: bool
    process: int
    """Start-of-frame marker of a JPEG (0xC3 is lossless, 0xF7 is JPEG-LS); 0 for JPEG 2000."""
    lossy: bool
    """Whether the coding loses information: DCT, near-lossless, or 9-7 wavelet."""
    levels: int = 0
    """How often a decoder of JPEG 2000 can halve rows and columns; 0 if the grid does not start at the first pixel."""


def scan_jpeg(data: bytes) -> Codestream:
    """Read the header of a JPEG or JPEG-LS up to its first scan (T.81 B.2, T.87 C.2). Raises `RadiographError`."""
    frame, near = None, 0
    for marker, position in _segments(data):
        if marker in _START_OF_FRAME and not frame and position + 8 <= len(data):
            frame = (marker, *struct.unpack_from(">BHHB", data, position + 2))
        elif marker == _START_OF_SCAN:
            scan = data[position + 2 : position + 514].ljust(512, b"\0")
            near = scan[1 + 2 * scan[0]]
            break
    if not frame:
        raise RadiographError("the compressed image has no frame header")
    process, precision, rows, columns, components = frame
    lossy = near > 0 if process == JPEG_LS else process != LOSSLESS_JPEG
    return Codestream(rows, columns, components, precision, False, process, lossy)


def scan_jpeg2000(data: bytes) -> Codestream:
    """Read the SIZ and COD segments of a JPEG 2000 or HTJ2K, bare or in a JP2 box (ITU-T T.800 A.5.1, A.6.1).

    Raises `RadiographError`.
    """
    start = find_jpeg2000_start(data)
    if start < 0 or len(data) < start + 45:
        raise RadiographError("the compressed image does not start like a JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    depth, step_x, step_y = struct.unpack_from(">3B", data, start + 42)
    if not step_x or not step_y:
        raise RadiographError("the JPEG 2000 header is damaged")
    rows = -(-bottom // step_y) + (-top // step_y)
    columns = -(-right // step_x) + (-left // step_x)
    codings = [data[position + 9 : position + 14] for marker, position, _ in _parts(data) if marker == _COD]
    lossy = any(coding[4:] != _REVERSIBLE for coding in codings)
    starts_there = (left, top, step_x, step_y) == (0, 0, 1, 1)
    levels = min(coding[0] for coding in codings) if starts_there and all(codings) and codings else 0
    return Codestream(rows, columns, components, (depth & 0x7F) + 1, bool(depth & 0x80), 0, lossy, levels)


def check_jpeg_length(length: int, rows: int, columns: int, lossless: bool = False) -> None:
    """Raise `RadiographError` if `length` bytes are too few for a JPEG of this size.

    Each Huffman code has at least one bit. A lossless JPEG has one code per sample; other JPEGs have at least one per
    block of 64 samples, for its mean (ITU-T T.81 F.1.2, H.1.2).
    """
    if length < rows * columns // (8 if lossless else 512):
        raise RadiographError(f"the compressed image has {length} bytes, too few for {rows} x {columns} pixels")


def find_jpeg_end(data: bytes) -> int:
    """Return the end of a JPEG or JPEG-LS in `data`. Raises `RadiographError` if no end marker follows a scan.

    Thumbnails in application segments are skipped, since they have end markers too.
    """
    scanned = False
    for marker, position in _segments(data):
        if marker == _END_OF_IMAGE and scanned:
            return position
        scanned = scanned or marker == _START_OF_SCAN
    raise RadiographError("the compressed image is cut short (no end-of-image marker)")


def find_jpeg2000_end(data: bytes) -> int:
    """Return the end of a JPEG 2000 in `data`. Raises `RadiographError` if a tile is incomplete (T.800 A.4.2)."""
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", data, find_jpeg2000_start(data) + 8)
    if not width or not height:
        raise RadiographError("the JPEG 2000 header is damaged")
    number = -(-(right - left) // width) * -(-(bottom - top) // height)
    tiles, end = set(), 0
    for marker, position, after in _parts(data):
        if marker == _START_OF_TILE:
            tiles.add(data[position + 4 : position + 6])
            end = after or data.find(_START_OF_DATA, position)
        elif tiles:
            break
    if len(tiles) < number or not 0 < end <= len(data):
        raise RadiographError(f"the compressed image is cut short ({len(tiles)} of {number} tiles)")
    end = data.find(_END, end)
    if end < 0:
        raise RadiographError("the compressed image is cut short (no end-of-image marker)")
    return end + len(_END)


def drop_tail(data: bytes) -> Iterator[bytes]:
    """Yield a JPEG-LS without possible padding before its end marker: a run of one byte, or up to eight bytes.

    The shortest result comes first.
    """
    coded = data[: -len(_END)]
    start = len(coded.rstrip(coded[-1:]))  # coded data may end with up to three such bytes
    for length in sorted({*range(start, start + 4), *range(len(coded) - 8, len(coded))}):
        if 0 < length < len(coded):
            yield coded[:length] + _END


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker of each JPEG segment and the position of its length; entropy-coded data are skipped."""
    if not data.startswith(b"\xff\xd8"):
        raise RadiographError("the compressed image does not start like a JPEG")
    position, following = 2, _NEXT_IN_HEADER.match
    while found := following(data, position):
        position, marker = found.end(), data[found.end() - 1]
        yield marker, position
        if marker != _END_OF_IMAGE:
            position += int.from_bytes(data[position : position + 2], "big")
        if marker == _START_OF_SCAN:
            following = _NEXT_BEHIND_SCAN.search


def find_jpeg2000_start(data: bytes) -> int:
    """Return the position of a JPEG 2000 codestream, which may be in a JP2 box; -1 if there is none."""
    return data.find(b"\xff\x4f" + _SIZ)


def _parts(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield marker, position and end (0: unknown) of each JPEG 2000 header segment and tile-part."""
    position = find_jpeg2000_start(data) + 2
    while position + 12 <= len(data) and data[position] == 0xFF:
        marker, (length,) = data[position : position + 2], struct.unpack_from(">H", data, position + 2)
        after = position + 2 + max(length, 2)
        if marker == _START_OF_TILE:
            (length,) = struct.unpack_from(">I", data, position + 6)
            after = length and position + max(length, 12)
        yield marker, position, after
        position = after or len(data)
