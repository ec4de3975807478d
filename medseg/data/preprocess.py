"""Deterministic conversion of a radiograph to the network input and back, shared by training and prediction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.data.bilinear import cut_bilinear, resize_bilinear
from medseg.data.config import PreprocessConfig

_FLAT = (0.02, 0.05)  # a line is border if its spread is less than this share of the image's; clear borders first
_AT_ONCE = 1 << 15  # pixels converted to float64 at a time, so that they stay in the CPU cache
_SAMPLES = 512  # rows and columns used to measure the levels of an image


def scale_intensity(
    pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None, config: PreprocessConfig
) -> NDArray[np.float32]:
    """Return the image scaled to [0, 1], float32, same shape; padding becomes 0.

    Percentiles are measured inside the flat borders (collimation, film edges) and without padding, so that borders and
    side markers do not change the contrast of the anatomy.
    """
    low, high = config.range if config.intensity == "fixed" else measure_range(pixels, padding, config.percentiles)
    span = max(high - low, float(np.finfo(np.float32).tiny))
    scaled = np.empty(pixels.shape, np.float32)
    step = max(1, _AT_ONCE // max(1, scaled[:1].size))
    for rows in (slice(first, first + step) for first in range(0, len(pixels), step)):
        part = np.subtract(pixels[rows], low, dtype=np.float64)
        part /= span
        scaled[rows] = np.clip(part, 0, 1, out=part)
    if padding is not None:
        scaled[padding] = 0
    return scaled


def measure_range(
    pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None, percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return two percentiles of the image inside its flat borders; if they are equal, its least and greatest value."""
    step = max(1, min(pixels.shape[:2]) // _SAMPLES)
    sampled = np.ascontiguousarray(pixels[::step, ::step])
    valid = np.ones(sampled.shape[:2], np.bool_) if padding is None else ~padding[::step, ::step]
    if not valid.any():
        sampled, valid = pixels, np.ones(pixels.shape[:2], np.bool_)
    inside = find_field(sampled.mean(axis=2, dtype=np.float64) if sampled.ndim == 3 else sampled, valid)
    levels = sampled[inside][valid[inside]]
    low, high = take_percentiles((levels if levels.size else sampled[valid]).ravel(), percentiles, 0)
    if low == high:
        low, high = sampled[valid].min(), sampled[valid].max()
    return float(low), float(high)


def find_field(grey: NDArray[np.floating[Any]], valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of an image inside its flat borders; pixels that are not `valid` are padding."""
    step = max(1, 2 * min(grey.shape) // _SAMPLES)
    grey, valid = grey[::step, ::step], valid[::step, ::step]
    if not valid.any():
        return slice(None), slice(None)
    filled = grey if valid.all() else np.where(valid, grey, np.median(grey[valid].astype(np.float64)))
    rows, columns = slice(0, len(grey)), slice(0, grey.shape[1])
    for flat in _FLAT:
        field = filled[rows, columns]
        limit = flat * float(np.subtract(*take_percentiles(field.ravel(), (95, 5), 0)))
        rows, columns = _trim(field, limit, 1, rows.start), _trim(field, limit, 0, columns.start)
    rows, columns = (slice(lines.start * step, (lines.stop - 1) * step + 1) for lines in (rows, columns))
    return rows, columns


def take_percentiles(values: NDArray[np.floating[Any]], percents: Sequence[float], axis: int) -> NDArray[np.float64]:
    """Return `np.percentile(values.astype(np.float64), percents, axis)`, bit for bit, without sorting float64.

    One line is partitioned, several lines are sorted: these are the fastest ways in NumPy for float32.
    """
    last = values.shape[axis] - 1
    places = last * (np.asarray(percents) / 100)
    first = np.floor(places).astype(np.intp)
    second = np.minimum(first + 1, last)
    flat = values.ndim == 1
    ordered = np.partition(values, sorted({*first, *second})) if flat else np.sort(values, axis)
    low, high = (np.moveaxis(ordered.take(at, axis), axis, -1).astype(np.float64) for at in (first, second))
    share, step = places - first, high - low
    return np.moveaxis(np.where(share < 0.5, low + step * share, high - step * (1 - share)), -1, 0)


def _trim(field: NDArray[np.floating[Any]], limit: float, axis: int, start: int) -> slice:
    """Return the range from the first to the last line along `axis` whose spread exceeds `limit`, plus `start`."""
    upper, lower = take_percentiles(field, (90, 10), axis)
    textured = np.flatnonzero(upper - lower > limit)
    if textured.size <= len(upper) // 5:  # the whole image is flat; there is no border to remove
        return slice(start, start + len(upper))
    return slice(start + int(textured[0]), start + int(textured[-1]) + 1)


def build_input(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None, config: PreprocessConfig) -> Tensor:
    """Return the network input, float32 `(channel, *size)`, of an image `(rows, columns)` or `(rows, columns, 3)`.

    The result equals that of the MONAI transforms, but MONAI, which takes seconds to import, is not needed.
    """
    scaled = scale_intensity(pixels, padding, config)
    channels = scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, -1, 0)
    return fit(torch.from_numpy(np.ascontiguousarray(channels)), config)


def fit(image: Tensor, config: PreprocessConfig) -> Tensor:
    """Resize `(channel, rows, columns)` to `config.size`, antialiased; fit=pad centers the image and pads with 0."""
    rows, columns, top, left = _placement(image.shape[-2:], config)
    resized = functional.interpolate(
        image[None].float(), (rows, columns), mode="bilinear", align_corners=False, antialias=True
    )[0]
    return functional.pad(resized, (left, config.size[1] - columns - left, top, config.size[0] - rows - top))


def restore(
    probabilities: Tensor, size: tuple[int, int], threshold: Tensor | float, config: PreprocessConfig
) -> Tensor:
    """Return masks, bool `(channel, *size)`, from one image's probabilities at network size; the inverse of `fit`.

    `threshold` is one number or one per channel `(channel,)`; a probability equal to the threshold is foreground, as in
    the article. restore=linear resizes, then applies the threshold; restore=nearest does the reverse.
    """
    cropped = _crop(probabilities, size, config).float()
    limits = torch.as_tensor(threshold, dtype=torch.float32).expand(len(cropped))
    if config.restore == "linear":
        return torch.from_numpy(cut_bilinear(cropped.numpy(), size, limits.numpy()))
    cut = (cropped >= limits.reshape(-1, 1, 1)).float()
    return functional.interpolate(cut[None], size, mode="nearest")[0] > 0.5


def restore_probabilities(probabilities: Tensor, size: tuple[int, int], config: PreprocessConfig) -> Tensor:
    """Resize one image's maps `(channel, *config.size)` to its original size, float32 `(channel, *size)`."""
    cropped = _crop(probabilities, size, config).float()
    if config.restore == "nearest":
        return functional.interpolate(cropped[None], size, mode="nearest")[0]
    return torch.from_numpy(resize_bilinear(cropped.numpy(), size))


def locate_pixels(size: tuple[int, int], config: PreprocessConfig) -> Tensor:
    """Return the matrix, float64 `(4, 4)`, from `(row, column)` after `fit` to `(row, column)` before it.

    Pixel centers have whole numbers, so a corner of the image lies at -0.5.
    """
    rows, columns, top, left = _placement(size, config)
    matrix = torch.eye(4, dtype=torch.float64)
    for axis, (length, fitted, first) in enumerate(zip(size, (rows, columns), (top, left), strict=True)):
        step = length / fitted
        matrix[axis, axis], matrix[axis, 3] = step, (0.5 - first) * step - 0.5
    return matrix


def _crop(maps: Tensor, size: tuple[int, int], config: PreprocessConfig) -> Tensor:
    rows, columns, top, left = _placement(size, config)
    return maps[..., top : top + rows, left : left + columns]


def _placement(size: tuple[int, int] | torch.Size, config: PreprocessConfig) -> tuple[int, int, int, int]:
    """Return rows, columns, top and left of an image of `size` inside the network input."""
    if config.fit == "stretch":
        return config.size[0], config.size[1], 0, 0
    factor = min(config.size[0] / size[0], config.size[1] / size[1])
    rows = min(max(round(size[0] * factor), 1), config.size[0])
    columns = min(max(round(size[1] * factor), 1), config.size[1])
    return rows, columns, (config.size[0] - rows) // 2, (config.size[1] - columns) // 2
