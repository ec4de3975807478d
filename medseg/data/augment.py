"""Random changes of a batch, computed on its device: geometry in one resampling step, then intensities."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from medseg.data.config import AugmentConfig


class Augment:
    """Augmentation of images and targets; the same seed and iteration give the same changes on one device."""

    def __init__(self, config: AugmentConfig, seed: int, device: torch.device) -> None:
        self.config = config
        self.seed = seed
        self.generator = Generator(device=device)

    def __call__(self, images: Tensor, targets: Tensor, iteration: int) -> tuple[Tensor, Tensor]:
        """Return changed images and targets, both float32 `(batch, channel, rows, columns)`.

        Input images are in [0, 1]; changed images may lie slightly outside, since they are not clipped. Targets get the
        same geometry as their images: masks (uint8) stay 0 or 1, RGB targets (float32) are interpolated.
        """
        if self.config.probability == 0:
            return images, targets.float()
        self.generator.manual_seed((self.seed * 1_000_003 + iteration) % 2**63)
        grid = self._draw_grid(images)
        moved = functional.grid_sample(
            torch.cat([images, targets.float()], dim=1),
            grid,
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
        channels = images.shape[1]
        images, targets_moved = moved[:, :channels], moved[:, channels:].contiguous()
        if targets.is_floating_point():
            return images.contiguous(), targets_moved
        return self._change_intensities(images), (targets_moved >= 0.5).float()

    def _uniform(self, images: Tensor, limit: float, count: int = 1) -> Tensor:
        """Draw `(batch, count)` numbers in [-limit, limit]."""
        drawn = torch.rand(len(images), count, generator=self.generator, device=images.device)
        return (drawn * 2 - 1) * limit

    def _chance(self, images: Tensor, probability: float) -> Tensor:
        """Draw `(batch, 1)` numbers that are 1 with this probability, else 0."""
        drawn = torch.rand(len(images), 1, generator=self.generator, device=images.device)
        return (drawn < probability).float()

    def _draw_grid(self, images: Tensor) -> Tensor:
        """Draw the sampling grid `(batch, rows, columns, 2)` of random affine and elastic changes."""
        config, (rows, columns) = self.config, images.shape[-2:]
        changed = self._chance(images, config.probability)
        angle = self._uniform(images, math.radians(config.rotate_degrees)) * changed
        shear = self._uniform(images, math.radians(config.shear_degrees)) * changed
        factor = torch.exp(-self._uniform(images, math.log1p(config.scale)) * changed)
        stretch = torch.exp(self._uniform(images, math.log1p(config.scale) / 3, 2) * changed)
        flips = torch.cat(
            [1 - 2 * self._chance(images, config.flip_columns), 1 - 2 * self._chance(images, config.flip_rows)], dim=1
        )
        scale = factor * stretch * flips
        shift = self._uniform(images, 2 * config.shift, 2) * changed
        cos, sin, aspect = torch.cos(angle), torch.sin(angle), rows / columns
        top = torch.cat([cos * scale[:, :1], (sin + torch.tan(shear)) * aspect * scale[:, 1:], shift[:, :1]], dim=1)
        bottom = torch.cat([-sin / aspect * scale[:, :1], cos * scale[:, 1:], shift[:, 1:]], dim=1)
        theta = torch.stack([top, bottom], dim=1)
        grid = functional.affine_grid(theta, [len(images), 1, rows, columns], align_corners=False)
        if config.elastic:
            points = config.elastic_points
            drawn = torch.randn(len(images), 2, points, points, generator=self.generator, device=images.device)
            smooth = functional.interpolate(drawn, (rows, columns), mode="bicubic", align_corners=True)
            grid = grid + (2 * config.elastic * changed)[:, :, None, None] * smooth.permute(0, 2, 3, 1)
        return grid

    def _change_intensities(self, images: Tensor) -> Tensor:
        """Change blur, gamma, contrast, brightness and noise; the result may lie slightly outside [0, 1].

        Clipping would erase the border between heart and abdomen if both lie between 0.9 and 1.
        """
        config = self.config

        def column(values: Tensor) -> Tensor:
            return values[:, :, None, None]

        changed = self._chance(images, config.probability)
        images = self._blur(images, self._chance(images, 1 / 3) * changed)
        images = images ** column(torch.exp(self._uniform(images, config.gamma) * changed))
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - mean) * column(1 + self._uniform(images, config.contrast) * changed) + mean
        images = images + column(self._uniform(images, config.brightness) * changed)
        images = self._change_devices(images, changed)
        strength = torch.rand(len(images), 1, generator=self.generator, device=images.device) * config.noise * changed
        noise = torch.randn(images.shape, generator=self.generator, device=images.device)
        return images + column(strength) * noise

    def _change_devices(self, images: Tensor, changed: Tensor) -> Tensor:
        """Change shading, clipping and polarity, as other devices do. Settings of 0 draw no random numbers."""
        config = self.config
        if config.shading:
            points = torch.randn(len(images), 1, 4, 4, generator=self.generator, device=images.device)
            field = functional.interpolate(points, images.shape[-2:], mode="bicubic", align_corners=True)
            images = images * (1 + config.shading * changed[:, :, None, None] * field)
        if config.saturate:
            low, high = (self._share(images, config.saturate, 1 / 6) * changed for _ in range(2))
            low, high = low[:, :, None, None], 1 - high[:, :, None, None]
            clipped = (images.maximum(low).minimum(high) - low) / (high - low).clamp(min=0.1)
            images = torch.where((low > 0) | (high < 1), clipped, images)
        if config.solarize:
            edge = 1 - (self._share(images, config.solarize, 1 / 10) * changed)[:, :, None, None]
            images = torch.where((images > edge) & (edge < 1), 2 * edge - images, images)
        if config.invert:
            chosen = (self._chance(images, config.invert) * changed)[:, :, None, None]
            images = torch.lerp(images, 1 - images, chosen)
        return images

    def _share(self, images: Tensor, limit: float, probability: float) -> Tensor:
        """Draw `(batch, 1)` numbers in [0, limit], 0 but for this probability."""
        drawn = torch.rand(len(images), 1, generator=self.generator, device=images.device) * limit
        return drawn * self._chance(images, probability)

    def _blur(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Blur the images for which `chosen` is 1, with one Gaussian standard deviation per batch."""
        if self.config.blur == 0:
            return images
        sigma = torch.rand(1, generator=self.generator, device=images.device) * self.config.blur + 1e-3
        radius = math.ceil(2 * self.config.blur)
        offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float32)
        kernel = torch.softmax(-0.5 * (offsets / sigma) ** 2, dim=0)
        weights = kernel.expand(images.shape[1], 1, 1, -1)
        padded = functional.pad(images, (radius,) * 4, mode="replicate")
        blurred = functional.conv2d(padded, weights, groups=images.shape[1])
        blurred = functional.conv2d(blurred, weights.transpose(2, 3), groups=images.shape[1])
        return torch.lerp(images, blurred, chosen[:, :, None, None])
