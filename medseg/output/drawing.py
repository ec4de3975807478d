"""Drawings of a training: strips of image, reference and prediction, and learning curves.

They show no case names. The colors are from Okabe and Ito (2008); color-blind people can tell them apart.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.atomic import open_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)
BAR, LETTERS = (24, 24, 24), (235, 235, 235)
"""Background and text color of the bars above and below images."""
_FILL = 0.22
_SEPARATOR = 245
_LOSSES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_MEANS = {"val/dice": ("mean Dice", "#1a1a1a"), "val/miou": ("mIoU", "#8c8c8c")}
_HEADINGS = ("image", "reference", "prediction")


def write_png(path: Path, picture: NDArray[np.uint8 | np.uint16], text: Mapping[str, str] | None = None) -> None:
    """Write an image, `(rows, columns)` or `(rows, columns, 3)`, whole or not at all. Raises `StorageError`.

    `text` is stored in the file as PNG text, by keyword.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    for keyword, value in (text or {}).items():
        notes.add_text(keyword, value)
    with open_atomically(path) as file:
        Image.fromarray(picture).save(file, format="PNG", pnginfo=notes, compress_level=1)


def draw_strip(
    image: NDArray[np.floating], reference: NDArray[np.bool_], prediction: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The article's strip: image, image with reference, image with prediction, side by side.

    `image` is `(rows, columns)` of any range, the masks are `(classes, rows, columns)`, the result is
    `(rows, 3 * columns, 3)`. Each class has a contour and a light fill in its color.
    """
    gray = np.repeat(to_bytes(image)[..., None], 3, axis=-1)
    return np.concatenate([gray, draw_masks(gray, reference), draw_masks(gray, prediction)], axis=1)


def draw_rgb_strip(
    image: NDArray[np.floating], reference: NDArray[np.floating], prediction: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Image, reference and prediction side by side, for networks whose target is an image.

    Each is `(3, rows, columns)` in [0, 1]; the result is `(rows, 3 * columns, 3)`.
    """
    panes = [np.moveaxis(np.nan_to_num(pane), 0, -1) for pane in (image, reference, prediction)]
    return np.concatenate([np.rint(pane.clip(0, 1) * 255).astype(np.uint8) for pane in panes], axis=1)


def draw_grid(strips: Sequence[NDArray[np.uint8]], classes: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Several strips below each other, with thin lines between them. Narrower strips are padded with black.

    With `classes`, a heading names the three panes and the color of each class.
    """
    width = max(strip.shape[1] for strip in strips)
    rows = [_draw_heading(width, classes)] if classes else []
    for strip in strips:
        rows += [np.full((2, width, 3), _SEPARATOR, np.uint8)] if rows else []
        rows += [np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0)))]
    return np.concatenate(rows)


def draw_learning_curves(history: Mapping[str, Sequence[tuple[int, float]]]) -> "Figure":
    """Learning curves by epoch: loss on the left, Dice and mIoU on the right. The best epoch of `val/dice` is marked.

    `history` holds `(epoch, value)` pairs by MLflow metric name. Names with `loss` are drawn on the left; `val/dice`,
    `val/miou` and `val/dice_<class>` on the right; others are not drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    finite = {name: [(e, v) for e, v in points if math.isfinite(v)] for name, points in history.items()}
    losses = {name: points for name, points in finite.items() if "loss" in name and points}
    classes = {name: points for name, points in finite.items() if name.startswith("val/dice_") and points}
    means = {name: points for name, points in finite.items() if name in _MEANS and points}
    for index, (name, points) in enumerate(losses.items()):
        _draw_curve(left, points, name.replace("/", " "), _LOSSES[index % len(_LOSSES)], 2.0)
    for index, (name, points) in enumerate(classes.items()):
        _draw_curve(right, points, name.removeprefix("val/dice_"), _to_hex(COLORS[index % len(COLORS)]), 1.4)
    for name, points in means.items():
        _draw_curve(right, points, *_MEANS[name], 2.4)
    _finish(left, "Loss", "loss", losses)
    _finish(right, "Validation", "Dice, mIoU", classes | means)
    if "val/dice" in means:
        epoch, best = max(means["val/dice"], key=lambda point: point[1])
        right.axvline(epoch, color="#b0b0b0", linewidth=1, linestyle=":", zorder=0)
        right.set_title(f"best mean Dice {best:.3f} at epoch {epoch}", loc="right", fontsize=9, color="#4d4d4d")
    return figure


def to_bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The image as 8-bit gray levels: the 0.5th to the 99.5th percentile become 0 to 255. NaN is black."""
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 0.0)
    if high <= low:
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scaled = (np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-12)
    gray: NDArray[np.uint8] = np.rint(scaled.clip(0, 1) * 255).astype(np.uint8)
    return gray


def _to_hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def draw_masks(gray: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`gray`, `(rows, columns, 3)`, with a contour and a light fill for each of `masks`, `(classes, rows, columns)`."""
    from scipy.ndimage import binary_erosion

    pane = gray.astype(np.float32)
    thickness = max(1, round(min(gray.shape[:2]) / 256))
    outlines = []
    for index, mask in enumerate(np.asarray(masks, bool)):
        color = np.asarray(COLORS[index % len(COLORS)], np.float32)
        pane += mask[..., None] * (_FILL * (color - pane))
        outlines.append((mask & ~binary_erosion(mask, iterations=thickness), color))
    for outline, color in outlines:
        pane[outline] = color
    return np.rint(pane).astype(np.uint8)


def _draw_heading(width: int, classes: Sequence[str]) -> NDArray[np.uint8]:
    """A dark bar with the names of the three panes and, below them, the legend of the classes."""
    from PIL import Image, ImageDraw, ImageFont

    size = min(22, max(11, width // 60))
    heading = Image.new("RGB", (width, round(1.5 * size)), BAR)
    draw = ImageDraw.Draw(heading)
    for pane, name in enumerate(_HEADINGS):
        at = ((pane + 0.5) * width / 3, heading.height / 2)
        draw.text(at, name, LETTERS, ImageFont.load_default(size), anchor="mm")
    return np.concatenate([np.asarray(heading, np.uint8), draw_legend(width, classes, size)])


def draw_legend(width: int, classes: Sequence[str], size: int) -> NDArray[np.uint8]:
    """A dark bar `(rows, width, 3)` with the name and the color of each class, in letters of `size` pixels."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    lines: list[list[tuple[str, tuple[int, int, int]]]] = [[]]
    used = 0.0
    for index, name in enumerate(classes):
        length = font.getlength(name) + 2.6 * size
        if lines[-1] and used + length > width:
            lines.append([])
            used = 0.0
        lines[-1].append((name, COLORS[index % len(COLORS)]))
        used += length
    height = round(1.5 * size)
    legend = Image.new("RGB", (width, height * len(lines)), BAR)
    draw = ImageDraw.Draw(legend)
    for row, line in enumerate(lines):
        x = size / 2
        for name, color in line:
            middle = (row + 0.5) * height
            draw.rectangle((x, middle - size / 3, x + size * 2 / 3, middle + size / 3), color)
            draw.text((x + size, middle), name, LETTERS, font, anchor="lm")
            x += font.getlength(name) + 2.6 * size
    return np.asarray(legend, np.uint8)


def _draw_curve(axes: "Axes", points: Sequence[tuple[int, float]], label: str, color: str, width: float) -> None:
    epochs, values = zip(*points, strict=True)
    marker = "o" if len(points) < 25 else None
    axes.plot(epochs, values, color=color, linewidth=width, marker=marker, markersize=2 + width, label=label)


def _finish(axes: "Axes", title: str, label: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if curves:
        axes.legend(frameon=False, fontsize=9)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", color="#7f7f7f")
    epochs = {epoch for points in curves.values() for epoch, _ in points}
    if len(epochs) == 1:  # otherwise the axis would show fractions of an epoch
        axes.set_xlim(min(epochs) - 1, max(epochs) + 1)
