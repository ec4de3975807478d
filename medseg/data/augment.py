"""Random changes of a batch, computed on its device: geometry in one resampling step, then the appearance."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from medseg.data.appearance import Appearance, Part, interpolate_field
from medseg.data.config import AugmentConfig


class Augment:
    """Augmentation of images and targets; the same seed and iteration give the same changes on one device."""

    def __init__(self, config: AugmentConfig, seed: int, device: torch.device) -> None:
        self.config = config
        self.seed = seed
        self.generator = Generator(device=device)
        self.appearance = Appearance(config, device)

    def __call__(
        self, images: Tensor, targets: Tensor, iteration: int, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return changed images and targets, both float32 `(batch, channel, rows, columns)`.

        They are this `part` of a batch, and are changed as in the whole batch; None: they are the whole batch.
        Input images are in [0, 1]; changed images may lie slightly outside, since they are not clipped. Targets get the
        same geometry as their images: masks (uint8) stay 0 or 1, RGB targets (float32) are interpolated.
        """
        if self.config.probability == 0:
            return images, targets.float()
        seed = 3 * (self.seed * 1_000_003 + iteration) % 2**62
        self.generator.manual_seed(seed)
        part = part or Part.of(len(images))
        grid = self._draw_grid(images, part)
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
        return self.appearance(images, seed + 1, part), (targets_moved >= 0.5).float()

    def _uniform(self, part: Part, limit: float, count: int = 1) -> Tensor:
        """Draw `(batch, count)` numbers in [-limit, limit]."""
        drawn = torch.rand(part.total, count, generator=self.generator, device=self.generator.device)
        return part.take(drawn * 2 - 1) * limit

    def _chance(self, part: Part, probability: float) -> Tensor:
        """Draw `(batch, 1)` numbers that are 1 with this probability, else 0."""
        drawn = torch.rand(part.total, 1, generator=self.generator, device=self.generator.device)
        return part.take(drawn < probability).float()

    def _draw_grid(self, images: Tensor, part: Part) -> Tensor:
        """Draw the sampling grid `(batch, rows, columns, 2)` of random affine and elastic changes."""
        config, (rows, columns) = self.config, images.shape[-2:]
        changed = self._chance(part, config.probability)
        angle = self._uniform(part, math.radians(config.rotate_degrees)) * changed
        shear = self._uniform(part, math.radians(config.shear_degrees)) * changed
        factor = torch.exp(-self._uniform(part, math.log1p(config.scale)) * changed)
        stretch = torch.exp(self._uniform(part, math.log1p(config.scale) / 3, 2) * changed)
        flips = torch.cat(
            [1 - 2 * self._chance(part, config.flip_columns), 1 - 2 * self._chance(part, config.flip_rows)], dim=1
        )
        scale = factor * stretch * flips
        shift = self._uniform(part, 2 * config.shift, 2) * changed
        cos, sin, aspect = torch.cos(angle), torch.sin(angle), rows / columns
        top = torch.cat([cos * scale[:, :1], (sin + torch.tan(shear)) * aspect * scale[:, 1:], shift[:, :1]], dim=1)
        bottom = torch.cat([-sin / aspect * scale[:, :1], cos * scale[:, 1:], shift[:, 1:]], dim=1)
        theta = torch.stack([top, bottom], dim=1)
        grid = functional.affine_grid(theta, [len(images), 1, rows, columns], align_corners=False)
        if config.elastic:
            points = config.elastic_points
            drawn = torch.randn(part.total, 2, points, points, generator=self.generator, device=images.device)
            moves = interpolate_field(part.take(drawn), rows, columns).permute(0, 2, 3, 1)
            grid = grid + (2 * config.elastic * changed)[:, :, None, None] * moves
        return grid
