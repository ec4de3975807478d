"""Degradations of a radiograph in levels, to test a model: geometry, exposure, noise and objects in the image."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from medseg.data.preprocess import measure_range

Pixels = NDArray[np.float32]
Masks = NDArray[np.bool_]
StressName = Literal[
    "rotation",
    "shift",
    "exposure",
    "gamma",
    "noise",
    "blur",
    "inversion",
    "collimation",
    "marker",
    "resolution",
    "grid",
    "banding",
    "halo",
    "ghost",
]


@dataclass(frozen=True)
class Stress:
    """One kind of degradation with its levels; level 0 leaves the image unchanged."""

    name: StressName
    unit: str
    levels: tuple[float, ...]


# Contrast: the difference between the 1st and 99th percentile inside flat borders. Side: the shorter side of the image.
# So a level means the same for any image size and any gray scale.
STRESSES = (
    Stress("rotation", "degrees, in either direction", (5, 10, 15, 20, 30)),
    Stress("shift", "% of the shorter side, in any direction", (2, 5, 10, 15, 20)),
    Stress("exposure", "% of the contrast, overexposed (+) or underexposed (-)", (-30, -20, -10, 20, 40)),
    Stress("gamma", "exponent, as a power of 2; + is darker", (-2, -1, -0.5, 1, 2)),
    Stress("noise", "standard deviation, % of the contrast", (2, 5, 10, 20, 40)),
    Stress("blur", "standard deviation, % of the shorter side", (0.2, 0.4, 0.8, 1.2, 1.6)),
    Stress("inversion", "% of the contrast that is inverted, from the bright end", (5, 10, 20, 50, 100)),
    Stress("collimation", "width of each border, % of the shorter side", (2, 4, 6, 8, 10)),
    Stress("marker", "height of a letter, % of the shorter side", (5, 10, 20, 30, 40)),
    Stress("resolution", "width of a pixel, % of the shorter side", (0.5, 1, 2, 3, 4)),
    # of devices; no augmentation resembles grid, banding and ghost: they tell how a model meets what it has not seen
    Stress("grid", "height of the lines of an anti-scatter grid, % of the contrast", (2, 5, 10, 20, 30)),
    Stress("banding", "standard deviation between bands of detector rows, % of the contrast", (2, 5, 10, 15, 20)),
    Stress("halo", "overshoot at edges as vendors' sharpening makes it, % of the detail", (50, 100, 200, 300, 400)),
    Stress("ghost", "strength of an earlier exposure that shows through, % of the contrast", (2, 5, 10, 20, 30)),
)

_TRUNCATE = 3
"""Radius of the blur kernel, in standard deviations."""
_MARGIN = 0.03
"""Distance of a marker from the image edges, as a share of the shorter side."""
_GRID_PERIOD = 0.015
"""Distance of two lines of a grid, as a share of the shorter side."""
_BAND = 0.04
"""Height of a band of detector rows, as a share of the shorter side."""
_HALO = 0.015
"""Standard deviation of the blur whose difference is the detail, as a share of the shorter side."""
_LAG = 0.25
"""Shift of the earlier exposure, as a share of the width."""
_LETTERS = {
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
}


def apply_stress(name: StressName, level: float, pixels: Pixels, masks: Masks, rng: Generator) -> tuple[Pixels, Masks]:
    """Apply one level of a stress to an image `(rows, columns)` and its masks `(class, rows, columns)`.

    `pixels` are modality values before preprocessing. Rotation and shift also move the masks; new pixels at the edges
    get the least value of the image and no class. Other stresses do not change the masks. The same `rng` state gives
    the same side, direction or noise pattern at every level. The inputs are not modified.
    """
    if level == 0:
        return pixels, masks
    if name in _MOVES:
        return _MOVES[name](level, pixels, masks, rng)
    return _CHANGES[name](level, pixels, rng).astype(np.float32, copy=False), masks


def _rotate(degrees: float, pixels: Pixels, masks: Masks, rng: Generator) -> tuple[Pixels, Masks]:
    """Rotate about the center in a random direction; linear interpolation, nearest pixel for masks."""
    angle = math.radians(degrees) * rng.choice((-1, 1))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    center = (np.array(pixels.shape) - 1) / 2
    offset = center - turn @ center
    turned = ndimage.affine_transform(pixels, turn, offset, order=1, mode="grid-constant", cval=float(pixels.min()))
    moved = np.empty_like(masks)
    for mask, target in zip(masks, moved, strict=True):
        ndimage.affine_transform(
            mask.view(np.uint8), turn, offset, output=target.view(np.uint8), order=0, mode="grid-constant"
        )
    return turned, moved


def _shift(percent: float, pixels: Pixels, masks: Masks, rng: Generator) -> tuple[Pixels, Masks]:
    """Shift by whole pixels in a random direction."""
    angle = rng.uniform(0, 2 * math.pi)
    distance = _share_of_side(percent, pixels)
    steps = round(distance * math.sin(angle)), round(distance * math.cos(angle))
    target = tuple(slice(max(0, step), size + min(0, step)) for step, size in zip(steps, pixels.shape, strict=True))
    source = tuple(slice(max(0, -step), size - max(0, step)) for step, size in zip(steps, pixels.shape, strict=True))
    shifted, moved = np.full_like(pixels, pixels.min()), np.zeros_like(masks)
    shifted[target] = pixels[source]
    moved[:, *target] = masks[:, *source]
    return shifted, moved


def _expose(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Darken (more exposure) or brighten (less), clipped at the ends of the contrast like a detector out of range."""
    low, span = _measure_contrast(pixels)
    exposed: Pixels = np.clip(pixels - span * np.float32(percent / 100), low, low + span)
    return exposed


def _bend(octaves: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Raise the contrast, scaled to [0, 1], to the power 2 ** octaves; values outside the contrast do not change."""
    low, span = _measure_contrast(pixels)
    inside = np.clip(pixels, low, low + span)
    bent: Pixels = ((inside - low) / span) ** np.float32(2**octaves) * span + low
    return bent + (pixels - inside)


def _add_noise(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Add white Gaussian noise."""
    noise = rng.standard_normal(pixels.shape, np.float32)
    noise *= np.float32(percent / 100) * _measure_contrast(pixels)[1]
    return noise + pixels


def _blur(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Apply a Gaussian blur; edge values continue outside the image."""
    blurred: Pixels = ndimage.gaussian_filter(
        pixels, _share_of_side(percent, pixels), mode="nearest", truncate=_TRUNCATE
    )
    return blurred


def _invert(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Invert the bright end of the contrast; 100 % gives the negative image.

    With v, the contrast scaled to [0, 1], and the fold t = 1 - percent / 100, the result is
    min(v, 2 t - v) + max(0, 1 - 2 t). It stays in [0, 1], has slope 1 or -1, and is v at t = 1 and 1 - v at t = 0.
    """
    low, span = _measure_contrast(pixels)
    fold = np.float32(1 - percent / 100)
    values = (pixels - low) / span
    folded: Pixels = np.minimum(values, 2 * fold - values) + max(np.float32(0), 1 - 2 * fold)
    return folded * span + low


def _collimate(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Cover four borders: at random bright (no radiation) or black (electronic shutter)."""
    border = pixels.max() if rng.random() < 0.5 else pixels.min()
    width = round(_share_of_side(percent, pixels))
    collimated = np.full_like(pixels, border)
    field = tuple(slice(width, size - width) for size in pixels.shape)
    collimated[field] = pixels[field]
    return collimated


def _mark(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Draw a letter as bright as the brightest pixel, in the upper left (R) or the upper right (L) corner."""
    letter = "R" if rng.random() < 0.5 else "L"
    pattern = np.array([[dot == "#" for dot in row] for row in _LETTERS[letter]])
    height = max(1, round(_share_of_side(percent, pixels)))
    rows = np.arange(height) * pattern.shape[0] // height
    width = max(1, round(height * pattern.shape[1] / pattern.shape[0]))
    columns = np.arange(width) * pattern.shape[1] // width
    margin = round(_MARGIN * min(pixels.shape))
    left = margin if letter == "R" else pixels.shape[1] - margin - width
    marked = pixels.copy()
    box = marked[margin : margin + height, left : left + width]
    box[pattern[np.ix_(rows, columns)][: box.shape[0], : box.shape[1]]] = pixels.max()
    return marked


def _coarsen(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Average over larger pixels, then interpolate linearly to the original size."""
    size = _share_of_side(percent, pixels)
    rows, columns = (min(length, max(1, round(length / size))) for length in pixels.shape)
    steps = np.array([pixels.shape[0] / rows, pixels.shape[1] / columns])
    coarse = _average(_average(pixels, rows).T, columns).T
    fine: Pixels = ndimage.affine_transform(
        coarse, 1 / steps, 0.5 / steps - 0.5, output_shape=pixels.shape, output=np.float32, order=1, mode="nearest"
    )
    return fine


def _lay_grid(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Add the lines of an anti-scatter grid: a sine along the columns, with a random phase."""
    period = max(2.0, _GRID_PERIOD * min(pixels.shape))
    lines = np.sin(2 * np.pi * np.arange(pixels.shape[1]) / period + rng.uniform(0, 2 * np.pi)) / 2
    lined: Pixels = pixels + lines.astype(np.float32) * np.float32(percent / 100) * _measure_contrast(pixels)[1]
    return lined


def _add_bands(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Shift each band of detector rows by its own random amount."""
    height = max(1, round(_BAND * min(pixels.shape)))
    offsets = rng.standard_normal(-(-len(pixels) // height), np.float32).repeat(height)[: len(pixels)]
    banded: Pixels = pixels + offsets[:, None] * np.float32(percent / 100) * _measure_contrast(pixels)[1]
    return banded


def _add_halo(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Amplify the detail, so that edges overshoot."""
    smooth = ndimage.gaussian_filter(pixels, _HALO * min(pixels.shape), mode="nearest", truncate=_TRUNCATE)
    sharpened: Pixels = pixels + np.float32(percent / 100) * (pixels - smooth)
    return sharpened


def _add_ghost(percent: float, pixels: Pixels, rng: Generator) -> Pixels:
    """Add a faint copy of the image, mirrored and shifted, as a detector that remembers the last patient."""
    low, span = _measure_contrast(pixels)
    copy = np.roll(pixels[:, ::-1], round(_LAG * pixels.shape[1]) * rng.choice((-1, 1)), axis=1)
    ghosted: Pixels = pixels + np.float32(percent / 100) * (np.clip(copy, low, low + span) - low)
    return ghosted


def _average(pixels: NDArray[Any], rows: int) -> NDArray[np.float64]:
    """Return the means of `rows` equal sections of each column, `(rows, columns)`; sections may be fractional."""
    sums = np.concatenate([np.zeros((1, pixels.shape[1])), np.cumsum(pixels, axis=0, dtype=np.float64)])
    edges = np.linspace(0, len(pixels), rows + 1)
    before = np.minimum(edges.astype(np.intp), len(pixels) - 1)
    sums_at_edges = sums[before] + (edges - before)[:, None] * pixels[before]
    means: NDArray[np.float64] = np.diff(sums_at_edges, axis=0) * (rows / len(pixels))
    return means


def _share_of_side(percent: float, pixels: Pixels) -> float:
    return percent / 100 * float(min(pixels.shape))


def _measure_contrast(pixels: Pixels) -> tuple[np.float32, np.float32]:
    """Return the low end and the width of the contrast."""
    low, high = measure_range(pixels, None, (1, 99))
    return np.float32(low), np.float32(high - low)


_MOVES: dict[str, Callable[[float, Pixels, Masks, Generator], tuple[Pixels, Masks]]] = {
    "rotation": _rotate,
    "shift": _shift,
}
_CHANGES: dict[str, Callable[[float, Pixels, Generator], Pixels]] = {
    "exposure": _expose,
    "gamma": _bend,
    "noise": _add_noise,
    "blur": _blur,
    "inversion": _invert,
    "collimation": _collimate,
    "marker": _mark,
    "resolution": _coarsen,
    "grid": _lay_grid,
    "banding": _add_bands,
    "halo": _add_halo,
    "ghost": _add_ghost,
}
