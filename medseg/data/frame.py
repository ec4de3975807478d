"""The part of an image that a network sees: all of it, or the exposed field inside flat borders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAT = (0.02, 0.05)  # a line is border if its spread is less than this share of the image's; clear borders first
SAMPLES = 512  # rows and columns used to measure the levels of an image
MARGIN = 0.02  # of the field, on each side: organs that touch the border stay whole
INSIDE, WHITE = 50, 2 / 3  # a 50th of the field inside its edge, overexposed anatomy still has so many white pixels
WORTH = 0.9  # a field that covers more of the image than this is not worth a crop


@dataclass(frozen=True)
class Frame:
    """A rectangle of whole pixels in an image of `size` `(rows, columns)`."""

    size: tuple[int, int]
    rows: tuple[int, int]
    """The first row and the row after the last."""
    columns: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the rectangle."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def part(self) -> tuple[slice, slice]:
        """The rectangle as slices of rows and columns."""
        return slice(*self.rows), slice(*self.columns)

    def scale(self, size: tuple[int, int]) -> "Frame":
        """The same rectangle in the same image at another `size`, to the nearest pixel; never empty."""
        if size == self.size:
            return self
        ranges = []
        for (first, end), old, new in zip((self.rows, self.columns), self.size, size, strict=True):
            start = min(round(first * new / old), new - 1)
            ranges.append((start, max(round(end * new / old), start + 1)))
        return Frame(size, ranges[0], ranges[1])

    def spread(self, step: int, size: tuple[int, int]) -> "Frame":
        """The same rectangle in the image of `size`, if this frame is of each `step`-th row and column of it."""
        ranges = []
        for (first, end), lines, full in zip((self.rows, self.columns), self.size, size, strict=True):
            ranges.append((first * step, full if end == lines else (end - 1) * step + 1))
        return Frame(size, ranges[0], ranges[1])


def whole(size: Sequence[int]) -> Frame:
    """The frame that is the whole image of `size` `(rows, columns)`."""
    rows, columns = map(int, size)
    return Frame((rows, columns), (0, rows), (0, columns))


def find_frame(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None) -> Frame:
    """The exposed field of an image `(rows, columns)` or `(rows, columns, 3)`, a little widened.

    The whole image if the field covers nearly all of it.
    """
    gray = pixels.mean(axis=2, dtype=np.float64) if pixels.ndim == 3 else pixels
    valid = np.ones(gray.shape, np.bool_) if padding is None else ~padding
    ranges = []
    for lines, length in zip(find_field(gray, valid), gray.shape, strict=True):
        first, end, _ = lines.indices(length)
        margin = round(MARGIN * (end - first))
        ranges.append((max(0, first - margin), min(length, end + margin)))
    frame = Frame((gray.shape[0], gray.shape[1]), ranges[0], ranges[1])
    return frame if np.prod(frame.shape) < WORTH * gray.size else whole(gray.shape)


def find_field(gray: NDArray[np.floating[Any]], valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of an image inside its flat borders; pixels that are not `valid` are padding.

    Overexposed anatomy, such as the abdomen below the lungs, is flat and white, too. It does not end at a straight
    edge, and is kept.
    """
    step = max(1, 2 * min(gray.shape) // SAMPLES)
    gray, valid = gray[::step, ::step], valid[::step, ::step]
    if not valid.any():
        return slice(None), slice(None)
    filled = gray if valid.all() else np.where(valid, gray, np.median(gray[valid].astype(np.float64)))
    rows, columns = slice(0, len(gray)), slice(0, gray.shape[1])
    for flat in FLAT:
        field = filled[rows, columns]
        limit = flat * float(np.subtract(*take_percentiles(field.ravel(), (95, 5), 0)))
        rows, columns = _trim(field, limit, 1, rows.start), _trim(field, limit, 0, columns.start)
    high, low = take_percentiles(filled.ravel(), (95, 5), 0)
    white = filled >= high - FLAT[-1] * (high - low)
    rows, columns = _keep_anatomy(white[:, columns], rows), _keep_anatomy(white[rows].T, columns)
    rows, columns = (slice(lines.start * step, (lines.stop - 1) * step + 1) for lines in (rows, columns))
    return rows, columns


def take_percentiles(values: NDArray[np.floating[Any]], percents: Sequence[float], axis: int) -> NDArray[np.float64]:
    """`np.percentile(values.astype(np.float64), percents, axis)`, bit for bit, without sorting float64.

    One line is partitioned, several lines are sorted: these are the fastest ways in NumPy for float32.
    """
    last = values.shape[axis] - 1
    places = last * (np.asarray(percents) / 100)
    first = np.floor(places).astype(np.intp)
    second = np.minimum(first + 1, last)
    flat = values.ndim == 1
    ordered = np.partition(values, sorted({*first, *second})) if flat else np.sort(values, axis)
    low, high = (np.moveaxis(ordered.take(at, axis), axis, -1).astype(np.float64) for at in (first, second))
    share, step = places - first, high - low
    return np.moveaxis(np.where(share < 0.5, low + step * share, high - step * (1 - share)), -1, 0)


def _trim(field: NDArray[np.floating[Any]], limit: float, axis: int, start: int) -> slice:
    """The range from the first to the last line along `axis` whose spread exceeds `limit`, plus `start`."""
    upper, lower = take_percentiles(field, (90, 10), axis)
    textured = np.flatnonzero(upper - lower > limit)
    if textured.size <= len(upper) // 5:  # the whole image is flat; there is no border to remove
        return slice(start, start + len(upper))
    return slice(start + int(textured[0]), start + int(textured[-1]) + 1)


def _keep_anatomy(white: NDArray[np.bool_], lines: slice) -> slice:
    """The range `lines`, and beyond it the flat, white lines that do not end at a straight edge."""
    start, stop = lines.start, lines.stop
    inside = (stop - start) // INSIDE
    if start and min(white[:start].mean(), white[start + inside].mean()) > WHITE:
        start = 0
    if stop < len(white) and min(white[stop:].mean(), white[stop - 1 - inside].mean()) > WHITE:
        stop = len(white)
    return slice(start, stop)
