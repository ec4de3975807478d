"""Masks on which labeling and filling go wrong most easily, and masks of chance."""

import numpy as np
from scipy import ndimage


def _draw(seed: int, shape: tuple[int, int], smooth: float, share: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth)
    return noise > np.quantile(noise, 1 - share)


def _spiral(size: int) -> np.ndarray:
    """A line of one pixel that winds to the center. So does the background."""
    mask = np.zeros((size, size), bool)
    row, column, step = 0, 0, (0, 1)
    mask[0, 0] = True
    for length in (size - 1, *(side for side in range(size - 1, 1, -2) for _ in range(2))):
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            mask[row, column] = True
        step = (step[1], -step[0])
    return mask


def _rings(rows: int, columns: int) -> np.ndarray:
    """Rings in rings, each in the hole of the next."""
    row, column = np.mgrid[:rows, :columns]
    return np.minimum.reduce([row, column, rows - 1 - row, columns - 1 - column]) % 2 == 0


_row, _column = np.mgrid[:12, :17]
_SHAPES = [
    np.zeros((5, 7), bool),
    np.ones((5, 7), bool),
    np.zeros((1, 1), bool),
    np.ones((1, 1), bool),
    np.ones((1, 9), bool),
    np.ones((9, 1), bool),
    np.arange(9)[None] % 2 == 0,
    np.arange(9)[:, None] % 2 == 1,
    (_row == 11) & (_column == 16),
    (_row == 0) & (_column == 0),
    (_row + _column) % 2 == 0,
    (_row + _column) % 3 == 0,
    _column % 16 == 0,  # both borders, so that rows end and begin in the mask
    _row % 11 == 0,
    (_row % 11 == 0) | (_column % 16 == 0),
    (_row % 4 < 2) & (_column % 4 < 2),
    (_row % 4 != 1) | (_column % 4 != 1),
    _spiral(15),
    ~_spiral(15),
    _rings(16, 21),
    ~_rings(21, 16),
]
_CHANCE = [
    _draw(seed, shape, smooth, share)
    for seed, (shape, smooth, share) in enumerate(
        ((rows, columns), smooth, share)
        for rows, columns in ((40, 23), (23, 40))
        for smooth in (0, 0.7, 2)
        for share in (0.1, 0.4, 0.6, 0.9)
    )
]
_ASYMMETRIC = _draw(99, (31, 26), 1, 0.5)
_TURNED = [np.rot90(each, turns) for each in (_ASYMMETRIC, _ASYMMETRIC[:, ::-1]) for turns in range(4)]

ODD_MASKS = [*_SHAPES, *_CHANCE, *_TURNED]
