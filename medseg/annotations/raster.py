"""Masks of shapes: a pixel belongs to a shape if its center is inside."""

from collections.abc import Sequence

import numpy as np

from medseg.annotations.runs import Mask, decode
from medseg.annotations.shape import AnnotatedImage, Ring, Shape, Size
from medseg.errors import RadiographError
from medseg.radiograph.image import check_image_size
from medseg.radiograph.source import printable

_MAX_CROSSINGS = 4_000_000
"""Rows that the sides of one shape may cross in all; a lung at 3000 rows needs a hundredth."""


def draw_masks(image: AnnotatedImage, size: Size) -> dict[str, Mask]:
    """Return label -> mask `(rows, columns)` of all shapes of that label together.

    What lies beyond the border is cut off. A label without shapes is not in the result. Raises `RadiographError` if
    `size` is not the size that the annotation file states, or if a shape cannot be drawn.
    """
    check_image_size(*size)
    where = f"{printable(image.source) if image.source else ''}: image {image.name or image.uid}".removeprefix(": ")
    if image.size is not None and image.size != size:
        raise RadiographError(
            f"{where}: drawn on {image.size[0]} x {image.size[1]} pixels (rows x columns), but the image has "
            f"{size[0]} x {size[1]}. Annotate the image at its own size",
            "size",
        )
    masks: dict[str, Mask] = {}
    for shape in image.shapes:
        mask = masks.setdefault(shape.label, np.zeros(size, np.bool_))
        try:
            draw_shape(mask, shape, (size[1], size[0]) if image.relative else (1, 1))
        except RadiographError as error:
            raise RadiographError(f"{where}: label {shape.label}: {error.reason}", error.code) from None
    return masks


def draw_shape(mask: Mask, shape: Shape, scale: tuple[float, float] = (1, 1)) -> None:
    """Set the pixels of `shape` in `mask`; its coordinates are multiplied by `scale`, x and y."""
    if shape.runs is None:
        _fill(mask, [ring * scale for ring in shape.rings])
        return
    drawn = decode(shape.runs, (mask.shape[0], mask.shape[1]))
    top, left = shape.runs.box[:2] if shape.runs.box else (0, 0)
    inside = drawn[max(-top, 0) :, max(-left, 0) :]
    target = mask[max(top, 0) :, max(left, 0) :]
    rows, columns = min(len(inside), len(target)), min(inside.shape[1], target.shape[1])
    target[:rows, :columns] |= inside[:rows, :columns]


def _fill(mask: Mask, rings: Sequence[Ring]) -> None:
    """Set the pixels whose centers lie in an odd number of rings. Left and top sides count as inside.

    Every side is walked downwards, so that a cut that is walked in both directions encloses nothing.
    """
    sides = np.concatenate([np.stack([ring, np.roll(ring, -1, axis=0)], 1) for ring in rings])
    sides = np.where((sides[:, 0, 1] > sides[:, 1, 1])[:, None, None], sides[:, ::-1], sides)
    first, last = (np.clip(np.ceil(sides[:, i, 1] - 0.5), 0, len(mask)).astype(np.int64) for i in (0, 1))
    counts = last - first
    if counts.sum() > _MAX_CROSSINGS:
        raise RadiographError(f"has {len(sides)} corners that cross {counts.sum()} rows. Draw a simpler outline")
    if not counts.any():
        return
    side = np.repeat(np.arange(len(sides)), counts)
    row = np.arange(len(side)) - np.repeat(np.cumsum(counts) - counts, counts) + first[side]
    (x0, y0), (x1, y1) = sides[side].transpose(1, 2, 0)
    x = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
    column = np.clip(np.ceil(x - 0.5), 0, mask.shape[1]).astype(np.int64)
    top, left, bottom, right = row.min(), column.min(), row.max() + 1, column.max() + 1
    crossings = np.zeros((bottom - top, right - left), np.bool_)
    np.logical_xor.at(crossings, (row - top, column - left), True)
    filled = np.logical_xor.accumulate(crossings, axis=1)
    mask[top:bottom, left:right] |= filled[:, : mask.shape[1] - left]
