"""Detection of images and masks that are turned or inverted compared with the rest of their data set.

The effect of a change (a turn, an inversion) is the difference between the image and the changed image. In an image
that has been changed, this difference has the opposite sign. Therefore one cosine with the average difference of the
other images is enough. If the data set is too symmetric or too mixed, most cosines are near 0 and nothing is reported.
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
    "turned by 90 degrees counterclockwise": lambda array: np.rot90(array, 1, (-2, -1)),
    "turned by 90 degrees clockwise": lambda array: np.rot90(array, -1, (-2, -1)),
}
"""The eight orientations of an image `(..., rows, columns)`."""

_FEWEST = 8
"""Least number of images for a comparison."""
_OPPOSED = 0.3
"""Cosines below minus this value are opposed; cosines of smaller magnitude are undecided."""
_UNDECIDED = 0.1
"""Largest share of undecided cosines; with more, the data set gives no result."""
_EDGE = 1.5
"""Blur of contours and images before their gradients are compared, in pixels."""


def find_opposed(parts: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return the cosine of each of `parts` `(case, ...)` with the average of the others, or None if undecided.

    Features with less variance have more weight. Signs and average are aligned iteratively, so that a large minority
    of opposed parts, which would cancel in a plain average, is found too.
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
    """Return which cosines of `find_opposed` belong to changed images."""
    return cosines < -_OPPOSED


def find_turned(images: NDArray[np.float32]) -> list[str | None]:
    """Return how each of `images` `(case, channel, n, n)` seems to be turned; None if it lies like the others.

    None is also returned if the data set gives no answer: lungs alone hardly show left and right.
    """
    suspect = np.zeros(len(images), np.bool_)
    for name in sorted(list(TURNS)[1:], key=lambda name: name == "mirrored"):  # the weakest difference last
        rest = np.flatnonzero(~suspect)
        cosines = find_opposed(images[rest] - TURNS[name](images[rest]))
        if cosines is not None:
            suspect[rest] = is_opposed(cosines)
    turned: list[str | None] = [None] * len(images)
    average = images[~suspect].mean(axis=0)
    for index in np.flatnonzero(suspect).tolist():
        fits = {name: _correlate(images[index], turn(average)) for name, turn in TURNS.items()}
        best = max(fits, key=lambda name: fits[name])
        turned[index] = None if best == "as it is" else best
    return turned


def measure_agreement(view: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure how well a contour follows the edges of its image, for each of `TURNS` of the mask.

    The result is the mean image gradient across the contour, in units of the typical image gradient. It is positive if
    the image is brighter inside, and 0 if the mask has no contour. Image and mask are `(n, n)`.
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
