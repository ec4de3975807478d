"""Overlays: images with masks and measurements drawn on them, for visual checks."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.measurements import Measured
from medseg.notice import RESEARCH_USE
from medseg.output.drawing import BAR, LETTERS, draw_legend, draw_masks, to_bytes, write_png
from medseg.output.images import OWN_TEXT

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 1024
"""Largest number of rows or columns of a preview."""

_LINE, _HALO = (255, 255, 255), (0, 0, 0)
_DIMMED = (165, 165, 165)


def shrink_preview(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """A grayscale image of at most `LONGEST` rows and columns, from presentation pixels `(rows, columns)`.

    The 0.5th to the 99.5th percentile of the pixels outside `padding` become black to white. `padding` is black.
    """
    if padding is not None:
        pixels = np.where(padding, np.float32(np.nan), pixels)
    scale = min(1.0, LONGEST / max(pixels.shape))
    rows, columns = (max(1, round(scale * size)) for size in pixels.shape)
    return to_bytes(_shrink(pixels, (rows, columns)))


def write_overlay(
    path: Path,
    preview: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    classes: Sequence[str],
    measured: Sequence[Measured] = (),
) -> None:
    """Write the image of `draw_overlay` as PNG. Raises `StorageError`."""
    write_png(path, draw_overlay(preview, masks, classes, measured), OWN_TEXT)


def draw_overlay(
    preview: NDArray[np.uint8], masks: NDArray[np.bool_], classes: Sequence[str], measured: Sequence[Measured] = ()
) -> NDArray[np.uint8]:
    """The preview with masks and measurement lines. Below it: a legend, the numbers and the research-use notice.

    `masks` is `(class, rows, columns)` at any size. The result is `(rows, columns, 3)`: the preview and the bars below
    it. It is wider than the preview if the text needs the space.
    """
    from PIL import Image, ImageFont

    reduced = np.stack([_shrink(mask.astype(np.uint8) * 255, preview.shape) >= 128 for mask in masks])
    picture = draw_masks(np.repeat(preview[..., None], 3, axis=-1), reduced)
    if lines := [line for each in measured for line in each.lines]:
        image = Image.fromarray(picture)
        _draw_lines(image, lines, (preview.shape[0] / masks.shape[1], preview.shape[1] / masks.shape[2]))
        picture = np.asarray(image)
    words = [each.words for each in measured]
    size = min(20, max(12, preview.shape[1] // 44))
    longest = max(ImageFont.load_default(size).getlength(text) for text in (*classes, *words, RESEARCH_USE))
    width = max(preview.shape[1], math.ceil(longest + 2.6 * size))
    spare = width - preview.shape[1]
    picture = np.pad(picture, ((0, 0), (spare // 2, spare - spare // 2), (0, 0)))
    return np.concatenate([picture, draw_legend(width, classes, size), _draw_words(width, words, size)])


def _shrink(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    from PIL import Image

    if array.shape == shape:
        return array
    resized = Image.fromarray(array).resize((shape[1], shape[0]), Image.Resampling.HAMMING, reducing_gap=1.0)
    return np.asarray(resized)


def _draw_lines(image: "Image", lines: Sequence[Sequence[tuple[float, float]]], scale: tuple[float, float]) -> None:
    """Draw white lines with a dark border and a tick at both ends. `scale` converts rows and columns of the masks."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    thickness = max(1, round(min(image.size) / 400))
    tick = 5 * thickness
    strokes = []
    for line in lines:
        points = [((column + 0.5) * scale[1] - 0.5, (row + 0.5) * scale[0] - 0.5) for row, column in line]
        ends = [[(x, y - tick), (x, y + tick)] for x, y in (points[0], points[-1])]
        strokes += [points, *ends]
    for color, width in ((_HALO, thickness + 2), (_LINE, thickness)):
        for stroke in strokes:
            draw.line(stroke, color, width)


def _draw_words(width: int, words: Sequence[str], size: int) -> NDArray[np.uint8]:
    """A dark bar `(rows, width, 3)` with the `words`, each beside a line symbol, and the research-use notice."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    height = round(1.5 * size)
    bar = Image.new("RGB", (width, height * (len(words) + 1) + size // 2), BAR)
    draw = ImageDraw.Draw(bar)
    at = height / 2
    for text in words:
        left, right, tick = size / 2, size * 7 / 6, size / 4
        for x in (left, right):
            draw.line((x, at - tick, x, at + tick), _LINE)
        draw.line((left, at, right, at), _LINE)
        draw.text((size * 3 / 2, at), text, LETTERS, font, anchor="lm")
        at += height
    draw.text((size / 2, at), RESEARCH_USE, _DIMMED, font, anchor="lm")
    return np.asarray(bar, np.uint8)
