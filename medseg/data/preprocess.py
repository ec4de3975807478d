"""Deterministic conversion of a radiograph to the network input and back, shared by training and prediction."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.data.bilinear import cut_bilinear, resize_bilinear
from medseg.data.config import PreprocessConfig
from medseg.data.frame import SAMPLES, Frame, find_field, find_frame, take_percentiles, whole

BLACK = 0.02  # levels as near to 0 or 1 as this are black or white, and do not count as levels of the anatomy
FEW = 100  # fewer gray pixels than this have no histogram
OVERSAMPLING = 2  # pixels along rows and columns for each of the network, at least, of an image that is not read whole
_SHARES = np.linspace(0, 1, 65)
_AT_ONCE = 1 << 15  # pixels converted to float64 at a time, so that they stay in the CPU cache


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
    step = max(1, min(pixels.shape[:2]) // SAMPLES)
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


def choose_frame(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None, config: PreprocessConfig) -> Frame:
    """Return the part of an image `(rows, columns)` or `(rows, columns, 3)` that the network sees."""
    return whole(pixels.shape[:2]) if config.crop == "none" else find_frame(pixels, padding)


def build_input(
    pixels: NDArray[np.float32],
    padding: NDArray[np.bool_] | None,
    config: PreprocessConfig,
    step: int = 1,
    size: tuple[int, int] | None = None,
    frame: Frame | None = None,
) -> tuple[Tensor, Frame]:
    """Return the network input of an image, float32 `(channel, *size)`, and the part of the image that it shows.

    The image is `(rows, columns)` or `(rows, columns, 3)`. With `step` above 1, only each `step`-th row and column of
    an image of `size` are given; the part is one of the whole image. `frame` is that part; if it is None, the settings
    choose it.

    The result equals that of the MONAI transforms, but MONAI, which takes seconds to import, is not needed.
    """
    scaled = scale_intensity(pixels, padding, config)
    channels = scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, -1, 0)
    image = torch.from_numpy(np.ascontiguousarray(channels))
    if frame is None:
        seen = choose_frame(pixels, padding, config)
        frame = seen.spread(step, size or seen.size)
    fitted = fit(image, config, frame) if step == 1 else _fit_samples(image, config, frame, step)
    return finish_input(fitted, config), frame


def count_halvings(size: tuple[int, int], config: PreprocessConfig) -> int:
    """How often rows and columns of an image or a frame may be halved so that enough is left for the network."""
    rows, columns, *_ = _placement(size, config)
    spare = min(size[0] / rows, size[1] / columns) / OVERSAMPLING
    return max(0, math.floor(math.log2(spare)))


def finish_input(fitted: Tensor, config: PreprocessConfig) -> Tensor:
    """Return the network input from an image after `fit`, which checks and previews use: equalized if so set."""
    return equalize(fitted) if config.equalize else fitted


def equalize(image: Tensor) -> Tensor:
    """Return an image in [0, 1], float32, with a flat histogram between black and white.

    Black and white themselves, such as padding, air and lead, stay and are not counted. Between 65 quantiles the curve
    is linear, so noise in the last bits stays small.
    """
    values = image.numpy()
    gray = values[(values > BLACK) & (values < 1 - BLACK)]
    if gray.size < FEW:
        return image
    levels, places = np.unique(take_percentiles(gray, (100 * _SHARES).tolist(), 0), return_index=True)
    shares = _SHARES[places]
    levels, shares = np.concatenate([[0], levels[1:-1], [1]]), np.concatenate([[0], shares[1:-1], [1]])
    return torch.from_numpy(np.interp(values, levels, shares).astype(np.float32))


def fit(image: Tensor, config: PreprocessConfig, frame: Frame | None = None) -> Tensor:
    """Resize `(channel, rows, columns)`, or its `frame`, to `config.size`, antialiased.

    fit=pad centers the image and pads with 0. The frame may be that of the image at another resolution.
    """
    size = int(image.shape[-2]), int(image.shape[-1])
    frame = whole(size) if frame is None else frame.scale(size)
    rows, columns, top, left = _placement(frame.shape, config)
    resized = functional.interpolate(
        image[(None, slice(None), *frame.part)].float(),
        (rows, columns),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )[0]
    return functional.pad(resized, (left, config.size[1] - columns - left, top, config.size[0] - rows - top))


def _fit_samples(image: Tensor, config: PreprocessConfig, frame: Frame, step: int) -> Tensor:
    """`fit` of the `frame` of an image whose pixels `(channel, rows, columns)` are only those of each `step`-th line.

    The samples are weighed as the antialiased `interpolate` weighs all pixels, so nothing moves.
    """
    rows, columns, top, left = _placement(frame.shape, config)
    down = _weigh_samples(frame.rows, rows, image.shape[-2], step)
    across = _weigh_samples(frame.columns, columns, image.shape[-1], step)
    resized = down @ image @ across.T
    return functional.pad(resized, (left, config.size[1] - columns - left, top, config.size[0] - rows - top))


def _weigh_samples(lines: tuple[int, int], number: int, samples: int, step: int) -> Tensor:
    """The weights, `(number, samples)`, of each `step`-th line in the `number` parts of the range `lines`."""
    scale = (lines[1] - lines[0]) / number
    places, centers = np.arange(samples) * step, lines[0] + (np.arange(number) + 0.5) * scale - 0.5
    weights = np.clip(1 - np.abs(places - centers[:, None]) / max(scale, step), 0, None)
    weights *= (places >= lines[0]) & (places < lines[1])
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def restore(probabilities: Tensor, frame: Frame, threshold: Tensor | float, config: PreprocessConfig) -> Tensor:
    """Return masks, bool `(channel, rows, columns)`, from one image's probabilities at network size; inverse of `fit`.

    The masks have the size of the image that `frame` is a part of. `threshold` is one number or one per channel
    `(channel,)`; a probability equal to the threshold is foreground, as in the article. restore=linear resizes, then
    applies the threshold; restore=nearest does the reverse.
    """
    cropped = _crop(probabilities, frame.shape, config).float()
    limits = torch.as_tensor(threshold, dtype=torch.float32).expand(len(cropped))
    if config.restore == "linear":
        return _lay_back(torch.from_numpy(cut_bilinear(cropped.numpy(), frame.shape, limits.numpy())), frame)
    cut = (cropped >= limits.reshape(-1, 1, 1)).float()
    return _lay_back(functional.interpolate(cut[None], frame.shape, mode="nearest")[0] > 0.5, frame)


def restore_probabilities(probabilities: Tensor, frame: Frame, config: PreprocessConfig) -> Tensor:
    """Resize one image's maps `(channel, *config.size)` to its original size, float32; 0 outside of `frame`."""
    cropped = _crop(probabilities, frame.shape, config).float()
    if config.restore == "nearest":
        return _lay_back(functional.interpolate(cropped[None], frame.shape, mode="nearest")[0], frame)
    return _lay_back(torch.from_numpy(resize_bilinear(cropped.numpy(), frame.shape)), frame)


def clear_padding(masks: Tensor, frame: Frame, config: PreprocessConfig) -> Tensor:
    """Return masks `(class, *config.size)` at network size, False where the network sees nothing of the frame."""
    cleared = torch.zeros_like(masks)
    _crop(cleared, frame.shape, config).copy_(_crop(masks, frame.shape, config))
    return cleared


def locate_pixels(frame: Frame, config: PreprocessConfig) -> Tensor:
    """Return the matrix, float64 `(4, 4)`, from `(row, column)` after `fit` to `(row, column)` before it.

    Pixel centers have whole numbers, so a corner of the image lies at -0.5.
    """
    rows, columns, top, left = _placement(frame.shape, config)
    matrix = torch.eye(4, dtype=torch.float64)
    places = zip(frame.shape, (rows, columns), (top, left), (frame.rows[0], frame.columns[0]), strict=True)
    for axis, (length, fitted, first, start) in enumerate(places):
        step = length / fitted
        matrix[axis, axis], matrix[axis, 3] = step, (0.5 - first) * step - 0.5 + start
    return matrix


def enlarge(frame: Frame, box: tuple[slice, slice], share: float, config: PreprocessConfig) -> Frame:
    """Return the part of `frame` around a `box` of the network's input, with `share` of the rows and columns of that.

    Near a border the part is moved, and is never larger than the frame.
    """
    *fitted, top, left = _placement(frame.shape, config)
    parts = []
    places = zip((frame.rows, frame.columns), fitted, (top, left), box, config.size, strict=True)
    for (start, end), number, first, lines, size in places:
        scale = (end - start) / number
        length = min(end - start, math.ceil(share * size * scale))
        begin = start + round(((lines.start + lines.stop) / 2 - first) * scale - length / 2)
        begin = min(max(begin, start), end - length)
        parts.append((begin, begin + length))
    return Frame(frame.size, parts[0], parts[1])


def _lay_back(maps: Tensor, frame: Frame) -> Tensor:
    """Put maps `(channel, *frame.shape)` where the frame lies in its image; the rest is 0."""
    if frame.shape == frame.size:
        return maps
    laid = maps.new_zeros(len(maps), *frame.size)
    laid[(slice(None), *frame.part)] = maps
    return laid


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
