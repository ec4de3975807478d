"""Run lengths of masks: counts as in COCO and CVAT, COCO's text, and the bits of Label Studio's brush."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.annotations.shape import Runs
from medseg.errors import RadiographError
from medseg.radiograph.image import check_image_size

Mask = NDArray[np.bool_]
_WORD, _SIZES = 8, (3, 4, 8, 16)  # what Label Studio writes: bits of a value, and bits of a length by its index


def encode(mask: Mask, order: Literal["rows", "columns"] = "rows", whole: bool = False) -> Runs:
    """Return the runs of a mask `(rows, columns)` in the smallest box around it, or in the `whole` image."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = (0, 0, *mask.shape)
    if not whole and len(rows):
        box = (int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    part = mask[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]
    flat = np.concatenate([[False], part.ravel("C" if order == "rows" else "F"), [False]])
    pairs = np.flatnonzero(flat[1:] != flat[:-1]).reshape(-1, 2)
    pairs[:, 1] -= pairs[:, 0]
    return Runs(pairs, order, box)


def decode(runs: Runs, size: tuple[int, int]) -> Mask:
    """Return the mask of the box of `runs`; `size` is the size of an image that has no box.

    Raises `RadiographError` if a run reaches beyond the box.
    """
    rows, columns = runs.box[2:] if runs.box else size
    check_image_size(rows, columns)
    starts, lengths = runs.pairs.T
    if len(starts) and (starts.min() < 0 or lengths.min() < 0 or (starts + lengths).max() > rows * columns):
        raise RadiographError(f"has run lengths beyond its {rows} x {columns} pixels", "size")
    steps = np.zeros(rows * columns + 1, np.int32)
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + lengths, -1)
    flat = np.cumsum(steps[:-1], dtype=np.int32) > 0
    return flat.reshape(rows, columns) if runs.order == "rows" else flat.reshape(columns, rows).T


def from_counts(counts: Any, order: Literal["rows", "columns"], box: tuple[int, int, int, int]) -> Runs:
    """Return runs by the lengths of background and foreground in turn, background first.

    Raises `RadiographError` unless they add up to the pixels of the box.
    """
    check_image_size(*box[2:])
    lengths = np.array(counts, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != box[2] * box[3]:
        given = int(lengths.sum())
        raise RadiographError(f"has run lengths of {given} pixels in all, but its box has {box[2]} x {box[3]}", "size")
    ends = np.cumsum(lengths)[1::2]
    return Runs(np.stack([ends - lengths[1::2], lengths[1::2]], 1), order, box)


def to_counts(runs: Runs) -> list[int]:
    """Return lengths of background and foreground in turn, background first; the opposite of `from_counts`."""
    assert runs.box is not None
    edges = np.concatenate([[0], np.stack([runs.pairs[:, 0], runs.pairs.sum(axis=1)], 1).ravel()])
    counts: list[int] = np.diff(np.append(edges, runs.box[2] * runs.box[3])).tolist()
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def parse_coco(text: str) -> list[int]:
    """Return the counts of COCO's compressed text: 6 bits a character, lowest first, from the third count on as the
    difference to the count two before (`rleFrString` of cocoapi/common/maskApi.c).
    """
    counts: list[int] = []
    value = shift = 0
    for byte in text.encode("ascii"):
        bits = byte - 48
        value |= (bits & 31) << shift
        shift += 5
        if not 0 <= bits < 64 or shift > 60:
            raise RadiographError("has a damaged run-length text")
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def unpack_brush(data: Sequence[int], rows: int, columns: int) -> Runs:
    """Return the runs of Label Studio's brush, `format: rle` (`@thi.ng/rle-pack`): RGBA along rows, alpha is the mask.

    Bits, highest first: 32 of the number of bytes, 5 of the bits of a value less 1, 4 times 4 of the bits of a length
    less 1; then blocks of 1 bit (whether one value is repeated), 2 bits (which length), the length less 1, the values.
    """
    check_image_size(rows, columns)
    bits = bytes(np.unpackbits(np.array(data, np.uint8)) + 48).decode()
    total = int(bits[:32], 2)
    if total != 4 * rows * columns:
        raise RadiographError(f"has {total} brush values, but {rows} x {columns} pixels of 4 values are needed", "size")
    word, sizes = int(bits[32:37], 2) + 1, [int(bits[at : at + 4], 2) + 1 for at in range(37, 53, 4)]
    values: list[int] = []
    lengths: list[int] = []
    at, done = 53, 0
    while done < total:
        repeated, size = bits[at] == "1", sizes[int(bits[at + 1 : at + 3], 2)]
        length = int(bits[at + 3 : at + 3 + size], 2) + 1
        at += 3 + size
        ends = at + word * (1 if repeated else length)
        if ends > len(bits):
            raise RadiographError("has a brush that is cut short")
        values += [int(bits[i : i + word], 2) for i in range(at, ends, word)]
        lengths += [length] if repeated else [1] * length
        at, done = ends, done + length
    flat = np.repeat(np.array(values, np.uint8), lengths)[:total]
    return encode(flat.reshape(rows, columns, 4)[:, :, 3] > 127)


def pack_brush(mask: Mask) -> list[int]:
    """Return a mask as Label Studio's brush; the opposite of `unpack_brush`."""
    counts = to_counts(encode(mask, whole=True))
    bits = [f"{4 * mask.size:032b}{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for index, count in enumerate(counts):
        for length in [1 << 16] * (4 * count >> 16) + [4 * count % (1 << 16)]:
            if length:
                size = next(i for i, width in enumerate(_SIZES) if length <= 1 << width)
                bits.append(f"1{size:02b}{length - 1:0{_SIZES[size]}b}{255 * (index % 2):0{_WORD}b}")
    packed = np.packbits(np.frombuffer("".join(bits).encode(), np.uint8) - 48)
    written: list[int] = packed.tolist()
    return written
