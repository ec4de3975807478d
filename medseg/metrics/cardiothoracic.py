"""The cardiothoracic ratio."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.shape import find_box

Point = tuple[float, float]
"""Row and column of a pixel."""

_SPECK = 0.05
"""A piece with less than this share of the lungs' area is none of them."""
_SMALLER_LUNG = 0.2
"""The least share of the larger lung's area that the smaller one has."""
_APART = 1 / 3
"""The least distance between the centres of two lungs side by side, as a share of the columns they span."""
_VALLEY = 0.5
"""The greatest height of the mediastinum between lungs that touch, as a share of the less high lung."""


@dataclass(frozen=True)
class CardiothoracicRatio:
    """The heart's extent over the greatest inner chest width, and where both were measured."""

    value: float
    heart: tuple[tuple[int, int], tuple[int, int]]
    """Row and column of the heart's first and last pixel from left to right on the picture."""
    chest: tuple[tuple[int, int], tuple[int, int]]
    """The same of the lungs, in the row where they are widest."""
    warnings: tuple[str, ...] = ()
    """What makes the ratio doubtful: `heart in 2 pieces`."""

    @property
    def words(self) -> str:
        """`Cardiothoracic ratio 0.52`."""
        return f"Cardiothoracic ratio {self.value:.2f}"

    @property
    def lines(self) -> tuple[tuple[Point, ...], ...]:
        """The two lines to be drawn, as radiologists do: the heart's steps from one border's row to the other's
        in the middle of the chest.
        """
        (left_row, left), (right_row, right) = self.heart
        middle = (self.chest[0][1] + self.chest[1][1]) / 2
        if not left < middle < right:
            middle = (left + right) / 2
        step = ((left_row, middle), (right_row, middle)) if left_row != right_row else ()
        return (self.heart[0], *step, self.heart[1]), self.chest


def measure_ctr(lungs: NDArray[np.bool_], heart: NDArray[np.bool_]) -> CardiothoracicRatio | None:
    """The cardiothoracic ratio of two masks `(rows, columns)`, None where they do not show it.

    The heart's extent from its rightmost to its leftmost border, whatever rows these lie in, over the greatest inner
    chest width on one level: outer edge to outer edge of the lungs in a row that crosses both (Danzer, Am J Med Sci
    157, 1919). The heart's mask counts whole, the lungs' without specks.
    """
    if not lungs.any() or not heart.any():
        return None
    box = find_box(lungs)
    warnings: list[str] = []
    sides = _tell_lungs_apart(lungs[box], warnings)
    chest = _find_widest(sides)
    if chest is None:
        return None
    row, first, last = (index + start for index, start in zip(chest, (box[0].start, *[box[1].start] * 2), strict=True))
    left, right = _find_borders(heart)
    count = _label(heart[find_box(heart)])[1]
    if count > 1:
        warnings.append(f"heart in {count} pieces")
    if left[1] < first or right[1] > last:
        warnings.append("heart reaches beyond the lungs")
    value = (right[1] - left[1] + 1) / (last - first + 1)
    return CardiothoracicRatio(value, (left, right), ((row, first), (row, last)), tuple(warnings))


def _find_borders(heart: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Row and column of the leftmost and the rightmost pixel; the middle one of several."""
    columns = np.flatnonzero(heart.any(axis=0))
    left, right = int(columns[0]), int(columns[-1])
    rows = [np.flatnonzero(heart[:, column]) for column in (left, right)]
    return (int(rows[0][len(rows[0]) // 2]), left), (int(rows[1][len(rows[1]) // 2]), right)


def _find_widest(sides: NDArray[np.uint8]) -> tuple[int, int, int] | None:
    """The row across both lungs with the greatest width, its first and its last column; None where there is none.

    `sides` is 1 for one lung, 2 for the other.
    """
    lung = sides > 0
    first = lung.argmax(axis=1)
    last = lung.shape[1] - 1 - lung[:, ::-1].argmax(axis=1)
    crosses = (sides == 1).any(axis=1) & (sides == 2).any(axis=1)
    widths = np.where(crosses, last - first + 1, 0)
    row = len(widths) - 1 - int(widths[::-1].argmax())  # the lowest of equals
    return (row, int(first[row]), int(last[row])) if widths[row] else None


def _tell_lungs_apart(lungs: NDArray[np.bool_], warnings: list[str]) -> NDArray[np.uint8]:
    """1 for the lung on the left of the picture, 2 for the other; 0 elsewhere, everywhere where they are not two."""
    labels = _label(lungs)[0]
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    pieces = np.flatnonzero(sizes >= _SPECK * sizes.sum())
    if len(pieces) > 2:
        warnings.append(f"lungs in {len(pieces)} pieces")
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
    """Which pieces are the lung on the left, by the split of their centres into the two most distant groups (Otsu).

    `profiles` `(piece, columns)` counts each piece's pixels in each column. None where the groups are not two lungs.
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
    """The column of the mediastinum between lungs that touch, None where `profile` is that of one lung only."""
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
    """Pieces, numbered from 1; pixels that touch at a corner are of one piece."""
    from scipy.ndimage import label

    labels, count = label(mask, np.ones((3, 3), bool))
    return labels, int(count)
