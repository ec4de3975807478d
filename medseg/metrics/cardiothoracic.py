"""The cardiothoracic ratio."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.runs import Indices, Runs, count_columns, count_pixels, find_runs, label_runs

Point = tuple[float, float]
"""Row and column of a pixel."""

_SPECK = 0.05
"""Pieces with less than this share of the lungs' area are ignored."""
_SMALLER_LUNG = 0.2
"""Smallest area of the smaller lung, as a share of the larger lung's area."""
_APART = 1 / 3
"""Smallest distance between the centers of the two lungs, as a share of the columns they span."""
_VALLEY = 0.5
"""Largest number of lung pixels in the mediastinum column if lungs touch, as a share of the shorter lung's peak."""


@dataclass(frozen=True)
class CardiothoracicRatio:
    """The heart's width divided by the greatest inner chest width, with the positions of both measurements."""

    value: float
    heart: tuple[tuple[int, int], tuple[int, int]]
    """Row and column of the heart's leftmost and rightmost pixel in the image."""
    chest: tuple[tuple[int, int], tuple[int, int]]
    """Row and column of the lungs' leftmost and rightmost pixel, in the row where they are widest."""
    warnings: tuple[str, ...] = ()
    """Reasons to doubt the ratio, such as `lungs touch`."""
    faults: tuple[str, ...] = ()
    """Reasons not to rely on the ratio at all, such as `the heart mask has 2 pieces`."""

    @property
    def words(self) -> str:
        """The label, such as `Cardiothoracic ratio 0.52`."""
        return f"Cardiothoracic ratio {self.value:.2f}"

    @property
    def lines(self) -> tuple[tuple[Point, ...], ...]:
        """The two lines to draw, as radiologists do.

        The heart's line changes from the row of one border to the row of the other in the middle of the chest.
        """
        (left_row, left), (right_row, right) = self.heart
        middle = (self.chest[0][1] + self.chest[1][1]) / 2
        if not left < middle < right:
            middle = (left + right) / 2
        step = ((left_row, middle), (right_row, middle)) if left_row != right_row else ()
        return (self.heart[0], *step, self.heart[1]), self.chest


def measure_ctr(lungs: NDArray[np.bool_], heart: NDArray[np.bool_]) -> CardiothoracicRatio | None:
    """The cardiothoracic ratio of two masks `(rows, columns)`; None if it cannot be measured on them.

    It is the distance in columns between the heart's leftmost and rightmost border, in whatever rows they lie, divided
    by the greatest inner chest width: from outer edge to outer edge of the lungs, in one row that crosses both (Danzer,
    Am J Med Sci 157, 1919). All pixels of the heart count. Specks of the lungs are ignored.
    """
    lung_runs, heart_runs = find_runs(lungs), find_runs(heart)
    if not len(lung_runs) or not len(heart_runs):
        return None
    warnings: list[str] = []
    faults: list[str] = []
    chest = _find_widest(*_tell_lungs_apart(lung_runs, warnings, faults))
    if chest is None:
        return None
    row, first, last = chest
    left, right = _find_borders(heart_runs)
    count = int(label_runs(heart_runs, corners=True).max()) + 1
    if count > 1:
        faults.append(f"the heart mask has {count} pieces")
    if left[1] < first or right[1] > last:
        warnings.append("the heart mask reaches beyond the lungs")
    value = (right[1] - left[1] + 1) / (last - first + 1)
    return CardiothoracicRatio(value, (left, right), ((row, first), (row, last)), tuple(warnings), tuple(faults))


def _find_borders(heart: Runs) -> tuple[tuple[int, int], tuple[int, int]]:
    """Row and column of the leftmost and the rightmost pixel. If there are several, the middle pixel is taken."""
    left, stop = int(heart.start.min()), int(heart.stop.max())
    rows = heart.row[heart.start == left], heart.row[heart.stop == stop]
    return (int(rows[0][len(rows[0]) // 2]), left), (int(rows[1][len(rows[1]) // 2]), stop - 1)


def _find_widest(lungs: Runs, rows: Indices) -> tuple[int, int, int] | None:
    """Of `rows`, the one with the greatest width, with its first and last column; None if there are no rows."""
    if not len(rows):
        return None
    first = lungs.start[np.searchsorted(lungs.row, rows)]
    last = lungs.stop[np.searchsorted(lungs.row, rows, "right") - 1] - 1
    at = len(rows) - 1 - int((last - first)[::-1].argmax())  # the lowest row if several are equal
    return int(rows[at]), int(first[at]), int(last[at])


def _tell_lungs_apart(lungs: Runs, warnings: list[str], faults: list[str]) -> tuple[Runs, Indices]:
    """The lungs without specks, and the rows that cross both lungs. No row does if two lungs are not found."""
    labels = label_runs(lungs, corners=True)
    sizes = count_pixels(lungs, labels)
    pieces = np.flatnonzero(sizes >= _SPECK * sizes.sum())
    if len(pieces) > 2:
        faults.append(f"the lung mask has {len(pieces)} pieces")
    edge, stop = int(lungs.start.min()), int(lungs.stop.max())
    profiles = np.zeros((len(pieces), stop - edge), np.int_)
    for profile, piece in zip(profiles, pieces, strict=True):
        profile[:] = count_columns(lungs[labels == piece], stop)[edge:]
    is_large = np.isin(labels, pieces)
    lungs, labels = lungs[is_large], labels[is_large]
    if (on_left := _choose_left(profiles)) is not None:
        is_left = np.isin(labels, pieces[on_left])
        return lungs, np.intersect1d(lungs.row[is_left], lungs.row[~is_left])
    middle = _find_middle(profiles.sum(axis=0))
    if middle is None:
        return lungs, lungs.row[:0]
    warnings.append("lungs touch")
    return lungs, np.intersect1d(lungs.row[lungs.start < edge + middle], lungs.row[lungs.stop > edge + middle])


def _choose_left(profiles: NDArray[np.int_]) -> NDArray[np.bool_] | None:
    """For each piece, whether it belongs to the lung on the left; None if the pieces do not form two lungs.

    Otsu's method splits the centers of the pieces into the two most distant groups. `profiles`, `(piece, columns)`,
    counts each piece's pixels in each column.
    """
    if len(profiles) < 2:
        return None
    sizes = profiles.sum(axis=1).astype(np.float64)
    moments = profiles @ np.arange(profiles.shape[1])
    order = np.argsort(moments / sizes)
    size, moment = np.cumsum(sizes[order]), np.cumsum(moments[order])
    distance = (moment[-1] - moment[:-1]) / (size[-1] - size[:-1]) - moment[:-1] / size[:-1]
    split = int((size[:-1] * (size[-1] - size[:-1]) * distance**2).argmax())
    spanned = np.flatnonzero(profiles.any(axis=0))
    apart = distance[split] >= _APART * (spanned[-1] - spanned[0] + 1)
    if not apart or not _are_both_lungs(size[split], size[-1] - size[split]):
        return None
    left = np.zeros(len(sizes), bool)
    left[order[: split + 1]] = True
    return left


def _find_middle(profile: NDArray[np.int_]) -> int | None:
    """The column of the mediastinum between touching lungs; None if `profile` shows only one lung."""
    quarter = len(profile) // 4
    inner = profile[quarter : len(profile) - quarter]
    lowest = np.flatnonzero(inner == inner.min())
    middle = quarter + int(lowest[len(lowest) // 2])
    left, right = profile[:middle], profile[middle:]
    peak = min(left.max(initial=0), right.max(initial=0))
    both = _are_both_lungs(float(left.sum()), float(right.sum()))
    return middle if both and profile[middle] <= _VALLEY * peak else None


def _are_both_lungs(left: float, right: float) -> bool:
    return min(left, right) >= _SMALLER_LUNG * max(left, right) > 0
