"""Losses on logits that leave out ignored pixels and the classes for which a case has no mask."""

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from medseg.hardware.processes import ALONE, Processes
from medseg.training.config import LossConfig

_CERTAIN_BACKGROUND = -1e4
"""A logit with probability 0 in any precision. With label 0 it adds nothing to the losses or to the gradients."""


class MaskedLoss(nn.Module):
    """Binary cross-entropy, soft Dice or their sum, as a mean over the known classes of a batch.

    BCE on logits equals the article's sigmoid followed by BCELoss, but cannot overflow. Dice is the loss of V-Net
    (Milletari 2016) in MONAI's implementation, per case and class, without squares in the denominator.

    If several processes share a batch, each has the loss of the whole batch, and a gradient whose mean over the
    processes is that of the whole batch, whatever the sizes of their parts and the classes known there.
    """

    def __init__(self, config: LossConfig, processes: Processes = ALONE) -> None:
        super().__init__()
        self.name = config.name
        self.processes = processes
        self.dice = DiceLoss(sigmoid=True, reduction="none")

    def forward(self, logits: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        """The loss from `logits`, `(batch, class, rows, columns)`, and a `target` of two or three tensors.

        The target holds the labels in the shape of the logits; `present`, bool `(batch, class)`; and optionally a bool
        tensor in the shape of the labels that marks the ignored pixels.
        """
        labels, present, *rest = target
        labels = labels.to(logits.dtype)
        per_class = torch.zeros(logits.shape[:2], device=logits.device)
        counted: Tensor | float = 1.0
        for ignored in rest:
            logits, labels = logits.masked_fill(ignored, _CERTAIN_BACKGROUND), labels.masked_fill(ignored, 0)
            counted = (~ignored).float().mean(dim=(2, 3)).clamp(min=1e-6)
        if "bce" in self.name:
            pixelwise = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            per_class = per_class + pixelwise.mean(dim=(2, 3)) / counted
        if "dice" in self.name:
            per_class = per_class + self.dice(logits, labels).flatten(1)
        known = present.to(logits.dtype)
        total, count = (per_class * known).sum(), known.sum()
        if self.processes.size == 1:
            return total / count.clamp(min=1)
        whole, count = self.processes.add(torch.stack([total.detach(), count]))
        own: Tensor = self.processes.size * total / count.clamp(min=1)
        others: Tensor = whole / count.clamp(min=1) - own
        return own + others.detach()
