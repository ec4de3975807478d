"""Random changes of the appearance of a batch, on its device: what sites, scanners and their software do.

Which images change, and by how much, is drawn on the CPU, so that no step waits for the GPU to know it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Generator, Tensor
from torch.nn import functional

from medseg.data.config import AugmentConfig

_FINE = 0.3  # least standard deviation of a blur, in pixels
_DETAIL = 0.004, 0.06  # least and largest standard deviation of the blur whose difference is sharpened, of the side
_BLURRED, _SHARPENED, _CLIPPED, _FOLDED = 1 / 3, 1 / 5, 1 / 6, 1 / 10  # shares of the images
_LEAST_RANGE = 0.25  # of the contrast, left after clipping at both ends
_BRIGHT, _DARK = 1.2, -0.1  # gray levels of borders


@dataclass(frozen=True)
class Part:
    """The images of a batch that are in this process, some of `total`, if several processes share the batch.

    Random numbers are drawn for all images, so that every process draws the same ones.
    """

    total: int
    places: tuple[int, ...]
    """The places of these images among all."""
    indices: tuple[int, ...]
    """Their indices in the tensor that they are chosen from."""

    @classmethod
    def of(cls, total: int, own: slice = slice(None)) -> Self:
        """The images `own` of a batch of `total`."""
        places = tuple(range(total)[own])
        return cls(total, places, tuple(range(len(places))))

    def __len__(self) -> int:
        return len(self.places)

    def take(self, drawn: Tensor) -> Tensor:
        """The rows for these images, of numbers that were drawn for all."""
        return drawn if len(self) == self.total else drawn[list(self.places)]

    def choose(self, flags: Sequence[bool]) -> Self:
        """Those that have a flag; `flags` are drawn for all images."""
        places = {place: number for number, place in enumerate(n for n in range(self.total) if flags[n])}
        kept = [(places[place], index) for index, place in enumerate(self.places) if flags[place]]
        return type(self)(len(places), tuple(place for place, _ in kept), tuple(index for _, index in kept))


class Appearance:
    """Changes of gray values and objects in the image; the same seed gives the same changes on one device.

    The numbers of `seed` and `seed + 1` are used.
    """

    def __init__(self, config: AugmentConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.numbers, self.fields = Generator(), Generator(device=device)

    def __call__(self, images: Tensor, seed: int, part: Part | None = None) -> Tensor:
        """Return changed images, float32 `(batch, channel, rows, columns)`, which may lie slightly outside [0, 1].

        `images` are this `part` of a batch; None: all of it. Clipping would erase the border between heart and abdomen
        if both lie between 0.9 and 1. Settings of 0 draw no random numbers.
        """
        self.numbers.manual_seed(seed)
        self.fields.manual_seed(seed + 1)
        chosen = self._choose(part or Part.of(len(images)), self.config.probability)
        if not chosen.indices:
            return images
        changed = self._change(images[list(chosen.indices)], chosen)
        if len(chosen) == len(images):
            return changed
        whole = images.clone()
        whole[list(chosen.indices)] = changed
        return whole

    def _change(self, images: Tensor, part: Part) -> Tensor:
        config, side = self.config, min(images.shape[-2:])
        if config.blur and (chosen := self._choose(part, _BLURRED)).total:
            least = min(_FINE, config.blur)
            sigma = least * (config.blur / least) ** self._number()
            some = list(chosen.indices)
            images[some] = smooth(images[some], sigma)
        if config.sharpen and (chosen := self._choose(part, _SHARPENED)).total:
            low, high = (side * share for share in _DETAIL)
            some = list(chosen.indices)
            detail = images[some] - smooth(images[some], low * (high / low) ** self._number())
            images[some] += self._draw(chosen, 0, config.sharpen) * detail
        if config.gamma:
            images = images.clamp(min=0) ** torch.exp(self._draw(part, -config.gamma, config.gamma))
        if config.contrast:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = (images - mean) * (1 + self._draw(part, -config.contrast, config.contrast)) + mean
        if config.brightness:
            images = images + self._draw(part, -config.brightness, config.brightness)
        if config.shading:
            points = part.take(torch.randn(part.total, 1, 4, 4, generator=self.fields, device=self.device))
            images = images * (1 + config.shading * interpolate_field(points, *images.shape[-2:]))
        images = self._clip_and_fold(images, part)
        if config.noise:
            noise = torch.randn(part.total, *images.shape[1:], generator=self.fields, device=self.device)
            images = images + config.noise * self._draw(part, 0, 1) ** 4 * part.take(noise)
        chosen = self._choose(part, config.cover)
        drawn = [torch.rand(13, generator=self.numbers).tolist() for _ in range(chosen.total)]
        for index, place in zip(chosen.indices, chosen.places, strict=True):
            _cover(images[index], *drawn[place])
        return images

    def _clip_and_fold(self, images: Tensor, part: Part) -> Tensor:
        """Clip the ends of the contrast, turn its bright end over, or exchange dark and bright."""
        config = self.config
        if config.saturate:
            low, end = (self._draw(part, 0, config.saturate) * self._flags(part, _CLIPPED) for _ in range(2))
            high = torch.maximum(1 - end, low + _LEAST_RANGE)
            clipped = (images.maximum(low).minimum(high) - low) / (high - low)
            images = torch.where((low > 0) | (end > 0), clipped, images)
        if config.solarize and (chosen := self._choose(part, _FOLDED)).total:
            edge, some = 1 - self._draw(chosen, 0, config.solarize), list(chosen.indices)
            images[some] = images[some].minimum(2 * edge - images[some]) + (1 - 2 * edge).clamp(min=0)
        if some := list(self._choose(part, config.invert).indices):
            images[some] = 1 - images[some]
        return images

    def _draw(self, part: Part, low: float, high: float) -> Tensor:
        """Draw `(count, 1, 1, 1)` numbers between `low` and `high`."""
        drawn = torch.rand(part.total, 1, 1, 1, generator=self.numbers) * (high - low) + low
        return part.take(drawn).to(self.device, non_blocking=True)

    def _number(self) -> float:
        """Draw a number between 0 and 1."""
        return torch.rand((), generator=self.numbers).item()

    def _choose(self, part: Part, probability: float) -> Part:
        """Choose each image with this probability."""
        if probability == 0:
            return part.choose([False] * part.total)
        return part.choose((torch.rand(part.total, generator=self.numbers) < probability).tolist())

    def _flags(self, part: Part, probability: float) -> Tensor:
        """Draw `(count, 1, 1, 1)` numbers that are 1 with this probability, else 0."""
        return (self._draw(part, 0, 1) < probability).float()


def _cover(image: Tensor, kind: float, *drawn: float) -> None:
    """Draw borders, a letter or up to three boxes into one image `(channel, rows, columns)`; by 13 random numbers."""
    rows, columns = image.shape[-2:]
    if kind < 1 / 3:  # collimation, film edges
        level = _BRIGHT if drawn[0] < 0.5 else _DARK
        top, bottom, left, right = (
            int(0.1 * length * share * (on < 0.6))
            for length, share, on in zip((rows, rows, columns, columns), drawn[1:5], drawn[5:9], strict=True)
        )
        image[:, :top] = image[:, rows - bottom :] = level
        image[..., :left] = image[..., columns - right :] = level
    elif kind < 2 / 3:  # an L, F, U, E, or parts of them
        height = max(6, int((0.04 + 0.36 * drawn[0]) * rows))
        width, bar = int(height * (0.4 + 0.4 * drawn[1])), max(1, height // 6)
        letter = image[:, int(0.15 * drawn[2] * rows) :][:, :height]
        letter = letter[..., int(drawn[3] * (columns - width)) :][..., :width]
        level = 0.9 + 0.4 * drawn[4]
        letter[..., :bar] = level
        strokes = letter[:, -bar:], letter[:, :bar], letter[..., -bar:]
        for stroke, on in zip(strokes, drawn[5:8], strict=True):
            if on < 0.5:
                stroke[:] = level
    else:  # devices, more or less transparent
        for down, across, size, level in (drawn[:4], drawn[4:8], drawn[8:12])[: 1 + int(3 * drawn[3])]:
            height, width = 1 + int(0.12 * size * rows), 1 + int(0.12 * (1 - size) * columns)
            top, left = int(down * (rows - height)), int(across * (columns - width))
            box = image[:, top : top + height, left : left + width]
            box.lerp_(torch.full_like(box, 1.2 * level), 0.5)


def interpolate_field(points: Tensor, rows: int, columns: int) -> Tensor:
    """Control points, `(batch, channel, rows, columns)` with few of them, as a smooth field of `rows` x `columns`.

    It equals bicubic `functional.interpolate` with aligned corners, as two matrix products, which are faster.
    """

    def weigh(few: int, many: int) -> Tensor:
        unit = torch.eye(few).to(points)[None, None]
        return functional.interpolate(unit, (many, few), mode="bicubic", align_corners=True)[0, 0]

    return weigh(points.shape[-2], rows) @ points @ weigh(points.shape[-1], columns).T


def smooth(images: Tensor, sigma: float) -> Tensor:
    """Blur images `(batch, channel, rows, columns)` by a Gaussian of `sigma` pixels; a wide one on a coarser grid."""
    step = max(1, int(sigma / 2))
    coarse = functional.avg_pool2d(images, step, ceil_mode=True) if step > 1 else images
    radius = max(1, math.ceil(2 * sigma / step))
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.softmax(-0.5 * (offsets * step / sigma) ** 2, dim=0)
    weights = kernel.expand(images.shape[1], 1, 1, -1)
    padded = functional.pad(coarse, (radius,) * 4, mode="replicate")
    blurred = functional.conv2d(padded, weights, groups=images.shape[1])
    blurred = functional.conv2d(blurred, weights.transpose(2, 3), groups=images.shape[1])
    if step == 1:
        return blurred
    rows, columns = images.shape[-2:]
    return functional.interpolate(blurred, scale_factor=step, mode="bilinear")[..., :rows, :columns]
