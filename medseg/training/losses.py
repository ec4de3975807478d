"""Losses on logits that leave out the classes a case does not know."""

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from medseg.training.config import LossConfig


class MaskedLoss(nn.Module):
    """Binary cross-entropy, soft Dice or their sum, as a mean over the known classes of a batch.

    BCE on logits equals the article's sigmoid followed by BCELoss, in a form that cannot overflow. Dice is
    V-Net's (Milletari 2016) in MONAI's implementation, per case and class, with squared terms left out.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.name = config.name
        self.dice = DiceLoss(sigmoid=True, reduction="none")

    def forward(self, logits: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        """One number from logits and labels `(batch, class, rows, columns)` and `present`, bool `(batch, class)`."""
        labels, present = target
        per_class = torch.zeros(logits.shape[:2], device=logits.device)
        if "bce" in self.name:
            pixelwise = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            per_class = per_class + pixelwise.mean(dim=(2, 3))
        if "dice" in self.name:
            per_class = per_class + self.dice(logits, labels).flatten(1)
        known = present.float()
        return (per_class * known).sum() / known.sum().clamp(min=1)
