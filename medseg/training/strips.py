"""The article's strips (image | reference | prediction) of some validation cases, drawn during training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from medseg.data.loaders import CachedCases
from medseg.hardware.device import AutocastInferer
from medseg.output.drawing import draw_grid, draw_rgb_strip, draw_strip, write_png
from medseg.tracking.run import Run
from medseg.training.config import TrainingConfig


class Strips:
    """Draws the first validation cases. Images that may show a burned-in name are left out."""

    def __init__(
        self,
        network: nn.Module,
        cached: CachedCases,
        classes: Sequence[str],
        train: TrainingConfig,
        inferer: AutocastInferer,
        run: Run,
        folder: Path,
    ) -> None:
        self.network = network
        self.cached = cached
        self.classes = classes
        self.inferer = inferer
        self.run = run
        self.folder = folder
        self.indices = [i for i, facts in enumerate(cached.facts) if facts.burned_in is not True][: train.num_strips]
        self._shown = -1

    def show(self, epoch: int) -> None:
        """Record the strips of this epoch in MLflow's image series `val/cases` and as `epoch-<n>.png` in the folder."""
        if not self.indices or epoch == self._shown:
            return
        self._shown = epoch
        batch = self.cached[self.indices]
        device = next(self.network.parameters()).device
        with torch.no_grad():
            predictions = self.inferer(batch["image"].to(device), self.network.eval()).sigmoid().cpu()
        strips = []
        for image, label, prediction in zip(batch["image"], batch["label"], predictions, strict=True):
            if label.is_floating_point():
                strips.append(draw_rgb_strip(image.numpy(), label.numpy(), prediction.numpy()))
            else:
                strips.append(draw_strip(image[0].numpy(), label.bool().numpy(), (prediction >= 0.5).numpy()))
        picture = draw_grid(strips, self.classes)
        self.run.log_image(picture, "val/cases", epoch)
        write_png(self.folder / f"epoch-{epoch:04d}.png", picture)
