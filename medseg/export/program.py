"""A model as one program: modality values of images of any size in, masks of the same size out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medseg.data.config import PreprocessConfig
from medseg.data.frame import SAMPLES
from medseg.data.preprocess import BLACK, FEW
from medseg.export.field import choose_lines, find_field, find_frame, is_inside, sample, take_percentiles, whole
from medseg.inference.decision import Decision
from medseg.inference.models import LoadedModel
from medseg.inference.predictor import GAMMAS
from medseg.inference.prepare import fold

_TINY = torch.finfo(torch.float32).tiny


class Program(nn.Module):
    """Preprocessing, networks and thresholds of a model, for a batch of images of one size.

    The masks equal those of `medseg.load_model` but for a few pixels at their borders, where a probability is as good
    as equal to the threshold. `predict.components`, `predict.fill_holes` and `predict.zoom` are not
    part of it.
    """

    thresholds: Tensor

    def __init__(self, model: LoadedModel, decision: Decision) -> None:
        super().__init__()
        self.networks = nn.ModuleList(fold(network) for network in model.networks)
        self.config = model.card.preprocess
        self.tta = model.card.inference.tta
        self.register_buffer("thresholds", torch.tensor(decision.thresholds).reshape(-1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Masks, bool `(batch, class, rows, columns)`, of modality values, float32 `(batch, channel, rows, columns)`.

        Dense tissue is bright. Pixels that are padding (PixelPaddingValue) are NaN. There is one channel, or three for
        a model that reads RGB.
        """
        valid = ~image.isnan().any(dim=1)
        image = torch.where(valid[:, None], image, 0.0)
        gray = image.mean(dim=1)
        lines = find_frame(gray, valid) if self.config.crop == "field" else whole(gray)
        sides = self._place(lines, image)
        scaled = torch.where(valid[:, None], scale_intensity(image, gray, valid, self.config), 0.0)
        fitted = _mix(scaled, [side.weigh_fit() for side in sides])
        predicted = self._predict(equalize(fitted) if self.config.equalize else fitted)
        if self.config.restore == "nearest":
            predicted = (predicted >= self.thresholds).to(predicted.dtype)
            return _mix(predicted, [side.weigh_nearest() for side in sides]) > 0.5
        return _mix(predicted, [side.weigh_linear() for side in sides]) >= self.thresholds

    def _place(self, lines: tuple[Tensor, Tensor], image: Tensor) -> "list[Side]":
        """Rows and columns of the image on those of the network."""
        sizes = self.config.size
        factors = [size / (line[:, 1] - line[:, 0]) for line, size in zip(lines, sizes, strict=True)]
        if self.config.fit == "pad":
            factors = [torch.minimum(*factors)] * 2
        numbers = [
            ((line[:, 1] - line[:, 0]) * factor).round().long().clamp(1, size)
            for line, factor, size in zip(lines, factors, sizes, strict=True)
        ]
        return [Side(*given) for given in zip(lines, image.shape[2:], numbers, sizes, strict=True)]

    def _predict(self, images: Tensor) -> Tensor:
        """The mean probabilities of all networks and views, as `Predictor.predict` gives them."""
        maps = []
        for network in self.networks:
            maps.append(network(images).sigmoid())
            if "mirror" in self.tta:
                maps.append(network(images.flip(-1)).sigmoid().flip(-1))
            if "gamma" in self.tta:
                maps += [network(images.clamp(0, 1) ** gamma).sigmoid() for gamma in GAMMAS]
        return torch.stack(maps).mean(dim=0) if len(maps) > 1 else maps[0]


def scale_intensity(image: Tensor, gray: Tensor, valid: Tensor, config: PreprocessConfig) -> Tensor:
    """The image `(batch, channel, rows, columns)` scaled to [0, 1] as by `medseg.data.preprocess.scale_intensity`."""
    if config.intensity == "fixed":
        first, last = config.range
        return ((image - first) / (last - first)).clamp(0, 1)
    _, *lines = choose_lines(gray, SAMPLES)
    sampled, counted = sample(image, *lines), sample(valid, *lines)
    rows, columns = find_field(sampled.mean(dim=1), counted)
    inside = counted & is_inside(rows, counted.shape[1])[:, :, None] & is_inside(columns, counted.shape[2])[:, None]
    inside = inside | (counted & ~inside.flatten(1).any(dim=1)[:, None, None])
    inside, counted = (mask[:, None].expand_as(sampled).flatten(1) for mask in (inside, counted))
    values = sampled.flatten(1)
    percents = torch.tensor(config.percentiles, dtype=values.dtype, device=values.device)
    found = take_percentiles(values, inside, percents)
    ends = take_percentiles(values, counted, torch.tensor([0.0, 100.0], dtype=values.dtype, device=values.device))
    found = torch.where(found[:, :1] == found[:, 1:], ends, found)
    low, high = found[:, :1, None, None], found[:, 1:, None, None]
    return ((image - low) / (high - low).clamp(min=_TINY)).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Side:
    """The rows, or the columns, of a batch of images on those of the network."""

    lines: Tensor
    """The first line, and the one after the last, that each network sees: `(batch, 2)`."""
    length: int
    """Number of lines of an image."""
    number: Tensor
    """Number of network lines that show `lines`: `(batch,)`. Black lines fill up both sides evenly."""
    size: int
    """Number of lines of the network."""

    def weigh_fit(self) -> Tensor:
        """Weights `(batch, size, length)` that resize image lines to network lines: bilinear, antialiased."""
        step = 1 / self._factor
        distance = (self._image_lines[:, None] + 0.5 - step * (self._network_lines[:, :, None] + 0.5)).abs()
        weights = (1 - distance / step.clamp(min=1)).clamp(min=0)
        network = (self._network_lines >= 0) & (self._network_lines < self.number[:, None])
        weights = weights * (network[:, :, None] & self._inside[:, None])
        return weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-6)

    def weigh_linear(self) -> Tensor:
        """Weights `(batch, length, size)` that resize network lines to image lines: bilinear; 0 outside of `lines`."""
        places = (self._factor * (self._image_lines[:, :, None] + 0.5) - 0.5).clamp(min=0)
        places = torch.minimum(places, self.number[:, None, None] - 1)
        weights = (1 - (places - self._network_lines[:, None]).abs()).clamp(min=0)
        return weights * self._inside[:, :, None]

    def weigh_nearest(self) -> Tensor:
        """Weights `(batch, length, size)` as `weigh_linear`, of the nearest network line alone."""
        places = (self._factor * self._image_lines[:, :, None]).floor()
        nearest = torch.minimum(places, self.number[:, None, None] - 1) == self._network_lines[:, None]
        return (nearest & self._inside[:, :, None]).float()

    @property
    def _factor(self) -> Tensor:
        return (self.number / (self.lines[:, 1] - self.lines[:, 0]))[:, None, None]

    @property
    def _image_lines(self) -> Tensor:
        return torch.arange(self.length, device=self.lines.device)[None] - self.lines[:, :1]

    @property
    def _network_lines(self) -> Tensor:
        return torch.arange(self.size, device=self.lines.device)[None] - ((self.size - self.number) // 2)[:, None]

    @property
    def _inside(self) -> Tensor:
        return is_inside(self.lines, self.length)


def equalize(images: Tensor) -> Tensor:
    """Images `(batch, channel, rows, columns)` equalized, each as by `medseg.data.preprocess.equalize`."""
    values = images.flatten(1)
    counted = (values > BLACK) & (values < 1 - BLACK)
    percents = torch.linspace(0, 100, 65, dtype=values.dtype, device=values.device)
    levels = take_percentiles(values, counted, percents)
    shares = (levels[:, None] < levels[:, :, None]).sum(dim=2) / 64  # equal levels have the share of the first of them
    lowest, highest = levels[:, :1], levels[:, -1:]
    shares = torch.where(levels == lowest, 0.0, torch.where(levels == highest, 1.0, shares))
    levels = torch.where(levels == lowest, 0.0, torch.where(levels == highest, 1.0, levels))
    index = torch.zeros_like(values, dtype=torch.long)
    for step in (64, 32, 16, 8, 4, 2, 1):  # a binary search of the last level that is not above the value
        there = (index + step).clamp(max=64)
        index = torch.where(values >= levels.gather(1, there), there, index)
    following = (index + 1).clamp(max=64)
    low, high = levels.gather(1, index), levels.gather(1, following)
    start, end = shares.gather(1, index), shares.gather(1, following)
    mapped = start + (end - start) * (values - low) / (high - low).clamp(min=1e-6)
    few = counted.sum(dim=1, keepdim=True) < FEW
    return torch.where(few, values, mapped).reshape(images.shape)


def _mix(maps: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Maps `(batch, channel, rows, columns)` with new rows and columns, from the weights of both."""
    down, across = weights
    return down[:, None] @ maps @ across.mT[:, None]
