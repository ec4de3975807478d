"""Losses on logits that leave out the classes a case does not know, and the pixels that count for nothing."""

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from medseg.training.config import LossConfig

_CERTAIN_BACKGROUND = -1e4
"""A logit whose probability is 0 in any precision: with label 0 it adds nothing to either loss, nor to a gradient."""


class MaskedLoss(nn.Module):
    """Binary cross-entropy, soft Dice or their sum, as a mean over the known classes of a batch.

    BCE on logits equals the article's sigmoid followed by BCELoss, in a form that cannot overflow. Dice is
    V-Net's (Milletari 2016) in MONAI's implementation, per case and class, with squared terms left out.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.name = config.name
        self.dice = DiceLoss(sigmoid=True, reduction="none")

    def forward(self, logits: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        """One number from logits and labels `(batch, class, rows, columns)` and `present`, bool `(batch, class)`.

        A third tensor, bool like the labels, names the pixels of weight 0.
        """
        labels, present, *rest = target
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
        known = present.float()
        return (per_class * known).sum() / known.sum().clamp(min=1)
