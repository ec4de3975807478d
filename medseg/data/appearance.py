"""Random changes of the appearance of a batch, on its device: what sites, scanners and their software do.

Which images change, and by how much, is drawn on the CPU, so that no step waits for the GPU to know it.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from medseg.data.config import AugmentConfig

_FINE = 0.3  # least standard deviation of a blur, in pixels
_DETAIL = 0.004, 0.06  # least and largest standard deviation of the blur whose difference is sharpened, of the side
_BLURRED, _SHARPENED, _CLIPPED, _FOLDED = 1 / 3, 1 / 5, 1 / 6, 1 / 10  # shares of the images
_LEAST_RANGE = 0.25  # of the contrast, left after clipping at both ends
_BRIGHT, _DARK = 1.2, -0.1  # gray levels of borders


class Appearance:
    """Changes of gray values and objects in the image; the same seed gives the same changes on one device.

    The numbers of `seed` and `seed + 1` are used.
    """

    def __init__(self, config: AugmentConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.numbers, self.fields = Generator(), Generator(device=device)

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """Return changed images, float32 `(batch, channel, rows, columns)`, which may lie slightly outside [0, 1].

        Clipping would erase the border between heart and abdomen if both lie between 0.9 and 1. Settings of 0 draw no
        random numbers.
        """
        self.numbers.manual_seed(seed)
        self.fields.manual_seed(seed + 1)
        chosen = self._choose(len(images), self.config.probability)
        if not chosen:
            return images
        changed = self._change(images[chosen])
        if len(chosen) == len(images):
            return changed
        whole = images.clone()
        whole[chosen] = changed
        return whole

    def _change(self, images: Tensor) -> Tensor:
        config, count, side = self.config, len(images), min(images.shape[-2:])
        if config.blur and (some := self._choose(count, _BLURRED)):
            least = min(_FINE, config.blur)
            sigma = least * (config.blur / least) ** self._number()
            images[some] = smooth(images[some], sigma)
        if config.sharpen and (some := self._choose(count, _SHARPENED)):
            low, high = (side * share for share in _DETAIL)
            detail = images[some] - smooth(images[some], low * (high / low) ** self._number())
            images[some] += self._draw(len(some), 0, config.sharpen) * detail
        if config.gamma:
            images = images.clamp(min=0) ** torch.exp(self._draw(count, -config.gamma, config.gamma))
        if config.contrast:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = (images - mean) * (1 + self._draw(count, -config.contrast, config.contrast)) + mean
        if config.brightness:
            images = images + self._draw(count, -config.brightness, config.brightness)
        if config.shading:
            points = torch.randn(count, 1, 4, 4, generator=self.fields, device=self.device)
            field = functional.interpolate(points, images.shape[-2:], mode="bicubic", align_corners=True)
            images = images * (1 + config.shading * field)
        images = self._clip_and_fold(images)
        if config.noise:
            noise = torch.randn(images.shape, generator=self.fields, device=self.device)
            images = images + config.noise * self._draw(count, 0, 1) ** 4 * noise
        for index in self._choose(count, config.cover):
            self._cover(images[index])
        return images

    def _clip_and_fold(self, images: Tensor) -> Tensor:
        """Clip the ends of the contrast, turn its bright end over, or exchange dark and bright."""
        config, count = self.config, len(images)
        if config.saturate:
            low, end = (self._draw(count, 0, config.saturate) * self._flags(count, _CLIPPED) for _ in range(2))
            high = torch.maximum(1 - end, low + _LEAST_RANGE)
            clipped = (images.maximum(low).minimum(high) - low) / (high - low)
            images = torch.where((low > 0) | (end > 0), clipped, images)
        if config.solarize and (some := self._choose(count, _FOLDED)):
            edge = 1 - self._draw(len(some), 0, config.solarize)
            images[some] = images[some].minimum(2 * edge - images[some]) + (1 - 2 * edge).clamp(min=0)
        if some := self._choose(count, config.invert):
            images[some] = 1 - images[some]
        return images

    def _cover(self, image: Tensor) -> None:
        """Draw borders, a letter or up to three boxes into one image `(channel, rows, columns)`."""
        rows, columns = image.shape[-2:]
        kind, *drawn = torch.rand(13, generator=self.numbers).tolist()
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

    def _draw(self, count: int, low: float, high: float) -> Tensor:
        """Draw `(count, 1, 1, 1)` numbers between `low` and `high`."""
        drawn = torch.rand(count, 1, 1, 1, generator=self.numbers) * (high - low) + low
        return drawn.to(self.device, non_blocking=True)

    def _number(self) -> float:
        """Draw a number between 0 and 1."""
        return torch.rand((), generator=self.numbers).item()

    def _choose(self, count: int, probability: float) -> list[int]:
        """Choose each of `count` images with this probability."""
        if probability == 0:
            return []
        return (torch.rand(count, generator=self.numbers) < probability).nonzero().flatten().tolist()

    def _flags(self, count: int, probability: float) -> Tensor:
        """Draw `(count, 1, 1, 1)` numbers that are 1 with this probability, else 0."""
        return (self._draw(count, 0, 1) < probability).float()


def smooth(images: Tensor, sigma: float) -> Tensor:
    """Blur images `(batch, channel, rows, columns)` by a Gaussian of `sigma` pixels; a wide one on a coarser grid."""
    step = max(1, int(sigma / 2))
    coarse = functional.avg_pool2d(images, step, ceil_mode=True) if step > 1 else images
    radius = max(1, math.ceil(2 * sigma / step))
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float32)
    kernel = torch.softmax(-0.5 * (offsets * step / sigma) ** 2, dim=0)
    weights = kernel.expand(images.shape[1], 1, 1, -1)
    padded = functional.pad(coarse, (radius,) * 4, mode="replicate")
    blurred = functional.conv2d(padded, weights, groups=images.shape[1])
    blurred = functional.conv2d(blurred, weights.transpose(2, 3), groups=images.shape[1])
    if step == 1:
        return blurred
    rows, columns = images.shape[-2:]
    return functional.interpolate(blurred, scale_factor=step, mode="bilinear")[..., :rows, :columns]
