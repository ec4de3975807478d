"""Pictures and masks that lie another way than the rest of their set, or are inverted.

What a change (a turn, an inversion) does to a picture shows in one part of it alone: the difference between the picture
and its changed self. In a picture that has been changed, that part has the opposite sign. So one cosine with the
average part of the others tells, and where the set is too symmetric, or too mixed, to tell, most cosines are near 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Turn = Callable[[NDArray[Any]], NDArray[Any]]

TURNS: dict[str, Turn] = {
    "as it is": lambda array: array,
    "mirrored": lambda array: array[..., ::-1],
    "upside down": lambda array: array[..., ::-1, :],
    "turned by 180 degrees": lambda array: array[..., ::-1, ::-1],
    "transposed": lambda array: array.swapaxes(-1, -2),
    "transposed and turned by 180 degrees": lambda array: array.swapaxes(-1, -2)[..., ::-1, ::-1],
    "turned by 90 degrees anticlockwise": lambda array: np.rot90(array, 1, (-2, -1)),
    "turned by 90 degrees clockwise": lambda array: np.rot90(array, -1, (-2, -1)),
}
"""The eight ways a picture `(..., rows, columns)` can lie."""

_FEWEST = 8
"""Fewer pictures are no set to compare with."""
_OPPOSED = 0.3
"""A cosine this far below 0 is opposed; within it, nothing is said."""
_UNDECIDED = 0.1
"""A set tells where at most this share of its cosines lie within it."""
_EDGE = 1.5
"""Blur of contours and pictures before their gradients are compared, pixels."""


def find_opposed(parts: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """For each of `parts` `(case, ...)` its cosine with the others' average part; None where the set cannot tell.

    Features are weighted by how steady they are over the set. Signs are aligned by turns with the average, so that a
    large minority of opposed parts (which would cancel in a plain average) is found as well.
    """
    if len(parts) < _FEWEST or not parts.size:
        return None
    flat = parts.reshape(len(parts), -1)
    variance = flat.var(axis=0)
    flat = flat / np.sqrt(variance + variance.mean() + np.finfo(np.float32).tiny)
    norms = np.linalg.norm(flat, axis=1)
    shown = norms > 0
    if shown.sum() < _FEWEST:
        return None
    units = flat[shown] / norms[shown, None]
    signs = np.ones(len(units))
    for _ in range(10):
        aligned = np.where(units @ (signs @ units) < 0, -1.0, 1.0)
        aligned *= 1.0 if aligned.sum() >= 0 else -1.0
        if (aligned == signs).all():
            break
        signs = aligned
    total = signs @ units
    along = units @ total
    rest = np.sqrt(np.maximum(total @ total - 2 * signs * along + 1, 1e-12))  # length of the total without the case
    cosines = (along - signs) / rest
    if (np.abs(cosines) < _OPPOSED).mean() > _UNDECIDED:
        return None
    found = np.zeros(len(parts))
    found[shown] = cosines
    return found


def is_opposed(cosines: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which cosines of `find_opposed` are those of pictures that were changed."""
    return cosines < -_OPPOSED


def find_turned(pictures: NDArray[np.float32]) -> list[str | None]:
    """How each of `pictures` `(case, channel, n, n)` seems to have been turned; None where it lies as the others do.

    None, too, wherever the set cannot tell: lungs alone hardly show what is left and right.
    """
    suspect = np.zeros(len(pictures), np.bool_)
    for name in sorted(list(TURNS)[1:], key=lambda name: name == "mirrored"):  # the faintest difference last
        rest = np.flatnonzero(~suspect)
        cosines = find_opposed(pictures[rest] - TURNS[name](pictures[rest]))
        if cosines is not None:
            suspect[rest] = is_opposed(cosines)
    turned: list[str | None] = [None] * len(pictures)
    average = pictures[~suspect].mean(axis=0)
    for index in np.flatnonzero(suspect).tolist():
        fits = {name: _correlate(pictures[index], turn(average)) for name, turn in TURNS.items()}
        best = max(fits, key=lambda name: fits[name])
        turned[index] = None if best == "as it is" else best
    return turned


def measure_agreement(view: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float64]:
    """How well a contour follows the edges of its picture, for each of `TURNS` of the mask.

    The mean over the contour of the picture's gradient across it, in units of the picture's typical gradient: positive
    where the picture is brighter inside. Both are `(n, n)`; 0 where the mask has no contour.
    """
    down, right = np.gradient(ndimage.gaussian_filter(view, _EDGE))
    typical = float(np.sqrt((down**2 + right**2).mean()))
    blurred = ndimage.gaussian_filter(mask, _EDGE)
    agreement = []
    for turn in TURNS.values():
        inward = np.gradient(turn(blurred))
        length = float(np.hypot(*inward).sum())
        agreement.append(float((down * inward[0] + right * inward[1]).sum()) / max(length * typical, 1e-9))
    return np.array(agreement)


def _correlate(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-9))
