"""The cardiothoracic ratio."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.shape import find_box

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
    if not lungs.any() or not heart.any():
        return None
    box = find_box(lungs)
    warnings: list[str] = []
    faults: list[str] = []
    sides = _tell_lungs_apart(lungs[box], warnings, faults)
    chest = _find_widest(sides)
    if chest is None:
        return None
    row, first, last = (index + start for index, start in zip(chest, (box[0].start, *[box[1].start] * 2), strict=True))
    left, right = _find_borders(heart)
    count = _label(heart[find_box(heart)])[1]
    if count > 1:
        faults.append(f"the heart mask has {count} pieces")
    if left[1] < first or right[1] > last:
        warnings.append("the heart mask reaches beyond the lungs")
    value = (right[1] - left[1] + 1) / (last - first + 1)
    return CardiothoracicRatio(value, (left, right), ((row, first), (row, last)), tuple(warnings), tuple(faults))


def _find_borders(heart: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Row and column of the leftmost and the rightmost pixel. If there are several, the middle pixel is taken."""
    columns = np.flatnonzero(heart.any(axis=0))
    left, right = int(columns[0]), int(columns[-1])
    rows = [np.flatnonzero(heart[:, column]) for column in (left, right)]
    return (int(rows[0][len(rows[0]) // 2]), left), (int(rows[1][len(rows[1]) // 2]), right)


def _find_widest(sides: NDArray[np.uint8]) -> tuple[int, int, int] | None:
    """The row with the greatest width across both lungs, with its first and last column; None if there is no such row.

    `sides` is 1 in one lung and 2 in the other.
    """
    lung = sides > 0
    first = lung.argmax(axis=1)
    last = lung.shape[1] - 1 - lung[:, ::-1].argmax(axis=1)
    crosses = (sides == 1).any(axis=1) & (sides == 2).any(axis=1)
    widths = np.where(crosses, last - first + 1, 0)
    row = len(widths) - 1 - int(widths[::-1].argmax())  # the lowest row if several are equal
    return (row, int(first[row]), int(last[row])) if widths[row] else None


def _tell_lungs_apart(lungs: NDArray[np.bool_], warnings: list[str], faults: list[str]) -> NDArray[np.uint8]:
    """An array with 1 in the lung on the left of the image, 2 in the other, 0 elsewhere. All 0 if two are not found."""
    labels = _label(lungs)[0]
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    pieces = np.flatnonzero(sizes >= _SPECK * sizes.sum())
    if len(pieces) > 2:
        faults.append(f"the lung mask has {len(pieces)} pieces")
    profiles = np.array([(labels == piece).sum(axis=0) for piece in pieces]).reshape(-1, labels.shape[1])
    side_of = np.zeros(len(sizes), np.uint8)
    if (on_left := _choose_left(profiles)) is not None:
        side_of[pieces] = np.where(on_left, 1, 2)
        return side_of[labels]
    middle = _find_middle(profiles.sum(axis=0))
    if middle is None:
        return np.zeros(labels.shape, np.uint8)
    warnings.append("lungs touch")
    side_of[pieces] = 1
    sides = side_of[labels]
    sides[:, middle:] *= 2
    return sides


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


def _label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """The pieces of a mask, numbered from 1, and their count. Pixels that touch at a corner belong to one piece."""
    from scipy.ndimage import label

    labels, count = label(mask, np.ones((3, 3), bool))
    return labels, int(count)
