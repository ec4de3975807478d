"""Bilinear interpolation whose every bit is defined: float32, columns before rows, each product and sum rounded.

Weights are those of `torch.nn.functional.interpolate` with `align_corners=False`, bit for bit. Its values differ by up
to 2^-22 with the number of threads and the processor, and take ten times as long.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]
_Taps = tuple[NDArray[np.intp], NDArray[np.intp], Maps, Maps]

_ROWS = 32  # worked on at a time, so that they stay in a processor's cache


def resize_bilinear(maps: Maps, size: tuple[int, int]) -> Maps:
    """`(channel, rows, columns)` at `size`, the outermost pixels' values beyond their centres."""
    resized = np.empty((len(maps), *size), np.float32)
    rows, columns = (_weigh(*lengths) for lengths in zip(maps.shape[1:], size, strict=True))
    for channel, map in zip(resized, maps, strict=True):
        for part, mixed in _mix(map, rows, columns):
            channel[part] = mixed
    return resized


def cut_bilinear(maps: Maps, size: tuple[int, int], limits: Maps) -> NDArray[np.bool_]:
    """`resize_bilinear(maps, size) >= limits`, bool `(channel, *size)`, of maps and `limits` `(channel,)` in [0, 1].

    Nothing is computed outside the box of what is not less than a limit in `maps`: there no mean of it is.
    """
    masks = np.zeros((len(maps), *size), np.bool_)
    rows, columns = (_weigh(*lengths) for lengths in zip(maps.shape[1:], size, strict=True))
    for mask, map, limit in zip(masks, maps, limits, strict=True):
        shown = map >= limit * np.float32(1 - 2**-20)  # the roundings of a mean come to 2^-22 of it
        if shown.any():
            down, across = _find_reach(shown.any(axis=1), rows), _find_reach(shown.any(axis=0), columns)
            box = mask[down, across]
            for part, mixed in _mix(map, _part(rows, down), _part(columns, across)):
                np.greater_equal(mixed, limit, out=box[part])
    return masks


def _weigh(length: int, resized: int) -> _Taps:
    """Which two pixels of `length` each of the `resized` is a mean of, and their weights.

    The position is rounded to float32 once, as a fused multiplication and addition does.
    """
    step = np.float64(np.float32(length) / np.float32(resized))
    position = np.maximum((step * (np.arange(resized) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    first = np.minimum(position.astype(np.intp), length - 1)
    share = np.clip(position - first.astype(np.float32), np.float32(0), np.float32(1))
    return first, np.minimum(first + 1, length - 1), np.float32(1) - share, share


def _find_reach(lines: NDArray[np.bool_], taps: _Taps) -> slice:
    """The resized lines that any of the `lines` that are true, or one between them, contributes to."""
    found = np.flatnonzero(lines)
    first, second = taps[:2]
    return slice(int(np.searchsorted(second, found[0])), int(np.searchsorted(first, found[-1], side="right")))


def _part(taps: _Taps, part: slice) -> _Taps:
    first, second, weight, share = taps
    return first[part], second[part], weight[part], share[part]


def _mix(map: Maps, rows: _Taps, columns: _Taps) -> Iterator[tuple[slice, Maps]]:
    """The resized rows, some at a time, in memory that the next ones will use again."""
    first, second, weight, share = columns
    wide = np.take(map, first, axis=1)
    wide *= weight
    wide += np.take(map, second, axis=1) * share
    buffers = np.empty((2, _ROWS, len(weight)), np.float32)
    for start in range(0, len(rows[0]), _ROWS):
        part = slice(start, min(start + _ROWS, len(rows[0])))
        first, second, weight, share = _part(rows, part)
        mixed, other = buffers[:, : len(first)]
        np.take(wide, first, axis=0, out=mixed, mode="clip")
        np.take(wide, second, axis=0, out=other, mode="clip")
        mixed *= weight[:, None]
        other *= share[:, None]
        mixed += other
        yield part, mixed
