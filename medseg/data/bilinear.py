"""Bilinear interpolation with bit-exact results: float32, columns before rows, each product and sum rounded.

The weights equal those of `torch.nn.functional.interpolate` with `align_corners=False`, bit for bit. PyTorch's values
differ by up to 2^-22 with the number of threads and the CPU, and take ten times as long to compute.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]
_Taps = tuple[NDArray[np.intp], NDArray[np.intp], Maps, Maps]

_ROWS = 32  # at a time, so that they stay in the CPU cache


def resize_bilinear(maps: Maps, size: tuple[int, int]) -> Maps:
    """Resize `(channel, rows, columns)` to `size`; beyond the outermost pixel centers the edge values continue."""
    resized = np.empty((len(maps), *size), np.float32)
    rows, columns = (_weigh(*lengths) for lengths in zip(maps.shape[1:], size, strict=True))
    for channel, map in zip(resized, maps, strict=True):
        for part, mixed in _mix(map, rows, columns):
            channel[part] = mixed
    return resized


def cut_bilinear(maps: Maps, size: tuple[int, int], limits: Maps) -> NDArray[np.bool_]:
    """Return `resize_bilinear(maps, size) >= limits` as bool `(channel, *size)`, for maps and `limits` in [0, 1].

    `limits` is `(channel,)`. Only the box around map values at or above the limit is computed: elsewhere every
    interpolated value is below the limit.
    """
    masks = np.zeros((len(maps), *size), np.bool_)
    rows, columns = (_weigh(*lengths) for lengths in zip(maps.shape[1:], size, strict=True))
    for mask, map, limit in zip(masks, maps, limits, strict=True):
        shown = map >= limit * np.float32(1 - 2**-20)  # rounding errors are at most 2^-22 of the value
        if shown.any():
            down, across = _find_reach(shown.any(axis=1), rows), _find_reach(shown.any(axis=0), columns)
            box = mask[down, across]
            for part, mixed in _mix(map, _part(rows, down), _part(columns, across)):
                np.greater_equal(mixed, limit, out=box[part])
    return masks


def _weigh(length: int, resized: int) -> _Taps:
    """Return the two source pixels (of `length`) of each resized pixel, and their weights.

    The position is rounded to float32 once, like the result of a fused multiply-add.
    """
    step = np.float64(np.float32(length) / np.float32(resized))
    position = np.maximum((step * (np.arange(resized) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    first = np.minimum(position.astype(np.intp), length - 1)
    share = np.clip(position - first.astype(np.float32), np.float32(0), np.float32(1))
    return first, np.minimum(first + 1, length - 1), np.float32(1) - share, share


def _find_reach(lines: NDArray[np.bool_], taps: _Taps) -> slice:
    """Return the range of resized lines that use any line from the first to the last true entry of `lines`."""
    found = np.flatnonzero(lines)
    first, second = taps[:2]
    return slice(int(np.searchsorted(second, found[0])), int(np.searchsorted(first, found[-1], side="right")))


def _part(taps: _Taps, part: slice) -> _Taps:
    first, second, weight, share = taps
    return first[part], second[part], weight[part], share[part]


def _mix(map: Maps, rows: _Taps, columns: _Taps) -> Iterator[tuple[slice, Maps]]:
    """Yield the resized rows in parts; each part reuses the memory of the part before."""
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
