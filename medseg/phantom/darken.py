"""Image pairs for section 3 of the article: a color image, and a darkened version with its highlights. Synthetic.

The article shows its data only by example ("the whole is the original darkened, so that the highlights stay"). The
formula here is this project's interpretation.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from medseg.atomic import open_atomically
from medseg.phantom.generated import name_cases, write_generated_set

VERSION = 1
"""Must increase when the same seed gives other files."""
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue (ITU-R BT.709), applied to stored values."""
DARK_GAIN = 0.25
"""Gain of all pixels that are not highlights."""
HIGHLIGHT = (0.55, 0.85)
"""Luminance range in which the gain rises from `DARK_GAIN` to 1."""

Picture = NDArray[np.uint8]
Plane = NDArray[np.float64]


def darken(image: Picture) -> Picture:
    """Darken an image `(rows, columns, 3)` to a quarter except for its highlights; the hue does not change.

    Luminance Y = 0.2126 R + 0.7152 G + 0.0722 B in [0, 1]; t = (Y - 0.55) / 0.3, clipped to [0, 1];
    gain = 0.25 + 0.75 t^2 (3 - 2 t); output = round(gain * image).
    """
    luminance = image @ np.array(LUMINANCE) / 255
    low, high = HIGHLIGHT
    t = np.clip((luminance - low) / (high - low), 0, 1)
    gain = DARK_GAIN + (1 - DARK_GAIN) * t * t * (3 - 2 * t)
    dark: Picture = np.round(image * gain[..., None]).astype(np.uint8)
    return dark


def draw_darkened_pair(rng: np.random.Generator, size: int) -> tuple[Picture, Picture]:
    """Draw a colorful synthetic scene and its darkened version, each uint8 `(size, size, 3)`."""
    down, across = np.mgrid[0:size, 0:size] / size
    corners = rng.uniform(0.1, 0.75, (2, 2, 3))
    scene = (1 - down)[..., None] * _mix(corners[0], across) + down[..., None] * _mix(corners[1], across)
    for _ in range(rng.integers(5, 11)):
        cover = _draw_shape(rng, down, across)[..., None]
        scene = scene * (1 - cover) + rng.uniform(0.05, 0.8, 3) * cover
    scene = scene * _draw_shade(rng, size)[..., None]
    for _ in range(rng.integers(3, 8)):
        scene = scene + _draw_lamp(rng, down, across)
    scene = scene + rng.normal(0, 0.012, scene.shape)
    image = np.round(np.clip(scene, 0, 1) * 255).astype(np.uint8)
    return image, darken(image)


def write_darkened_pairs(folder: Path, num_cases: int, size: int, seed: int) -> Path:
    """Write a data set of image pairs, `images/<id>.png` and `targets/<id>.png`; return its folder.

    Case i depends only on `seed`, `size` and i. A complete data set is not written again; an incomplete one is. Raises
    `DataError` if the folder contains other files, `StorageError` if writing fails.
    """
    folder = Path(folder)
    names = name_cases("darken", num_cases)

    def write_case(index: int) -> None:
        pair = draw_darkened_pair(np.random.default_rng([seed, index]), size)
        for kind, picture in zip(("images", "targets"), pair, strict=True):
            with open_atomically(folder / kind / f"{names[index]}.png") as file:
                Image.fromarray(picture).save(file, format="PNG")

    files = [Path(kind, f"{name}.png") for kind in ("images", "targets") for name in names]
    recipe: dict[str, str | int] = {"prefix": "darken", "version": VERSION, "note": "synthetic"}
    return write_generated_set(
        folder, {**recipe, "num_cases": num_cases, "size": size, "seed": seed}, files, write_case
    )


def _mix(ends: Plane, across: Plane) -> Plane:
    """Return a gradient from the first color to the second."""
    gradient: Plane = ends[0] * (1 - across)[..., None] + ends[1] * across[..., None]
    return gradient


def _draw_shape(rng: np.random.Generator, down: Plane, across: Plane) -> Plane:
    """Draw the coverage, 0 to 1, of each pixel by a rotated disc or block with soft edges."""
    center, half, angle = rng.uniform(0, 1, 2), rng.uniform(0.06, 0.28, 2), rng.uniform(0, np.pi)
    u = (np.cos(angle) * (across - center[0]) + np.sin(angle) * (down - center[1])) / half[0]
    v = (np.cos(angle) * (down - center[1]) - np.sin(angle) * (across - center[0])) / half[1]
    power = rng.choice([2.0, 8.0])
    inside = 1 - (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
    cover: Plane = rng.uniform(0.6, 1.0) * np.clip(inside / rng.uniform(0.02, 0.3), 0, 1)
    return cover


def _draw_shade(rng: np.random.Generator, size: int) -> Plane:
    """Draw uneven light over the scene, about 0.8 to 1.2."""
    shade: Plane = 1 + 0.2 * np.tanh(3 * ndimage.zoom(rng.normal(0, 0.4, (5, 5)), size / 5, order=3))
    return shade


def _draw_lamp(rng: np.random.Generator, down: Plane, across: Plane) -> Plane:
    """Draw a bright, nearly white spot with a glow, to add to the scene."""
    center, radius = rng.uniform(0.05, 0.95, 2), rng.uniform(0.015, 0.06)
    distance = np.hypot(across - center[0], down - center[1])
    light = np.exp(-((distance / radius) ** 4)) + 0.35 * np.exp(-distance / (2.5 * radius))
    lamp: Plane = light[..., None] * rng.uniform(0.75, 1.0, 3)
    return lamp
