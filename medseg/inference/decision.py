"""Conversion of a network's probabilities into masks at the original image size."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medseg.data.config import PreprocessConfig
from medseg.data.frame import Frame
from medseg.data.preprocess import clear_padding, enlarge, restore
from medseg.inference.config import PredictConfig
from medseg.inference.postprocess import clean_masks
from medseg.metrics.shape import find_box, measure_extent
from medseg.model.checkpoint import Extent, ModelCard

_LEAST = 0.5  # masks smaller than this share of the smallest in training are probably not of these organs
_ROOM = 1.1  # the second look shows this much more than needed, for parts that the first masks miss


@dataclass(frozen=True)
class Decision:
    """The rule that turns probabilities into masks. It holds plain settings and can be sent to other processes."""

    classes: tuple[str, ...]
    preprocess: PreprocessConfig
    thresholds: tuple[float, ...]
    """One threshold for each class. A probability equal to the threshold is foreground."""
    components: Mapping[str, int]
    fill_holes: bool
    extent: Extent | None = None
    """That of the training masks if smaller masks are to be looked at again, enlarged."""

    def masks(self, predicted: Tensor, frame: Frame) -> Tensor:
        """Masks, bool `(class, rows, columns)`, of one image, from its probabilities at the network's size.

        `frame` is the part of the image that the network saw.
        """
        return self._clean(restore(predicted, frame, torch.tensor(self.thresholds), self.preprocess))

    def network_masks(self, predicted: Tensor, frame: Frame) -> Tensor:
        """Masks, bool `(class, rows, columns)`, at the network's size. The card's ranges were measured at this size.

        As in `masks`, what the network sees beside the image does not count.
        """
        found = predicted >= torch.tensor(self.thresholds).reshape(-1, 1, 1)
        return self._clean(clear_padding(found, frame, self.preprocess))

    def find_zoom(self, predicted: Tensor, frame: Frame) -> Frame | None:
        """The part of the image to predict in place of `frame`, because its masks are smaller than those of training.

        There, the organs have nearly their usual size. None if they have it already, or are too small to be organs.
        """
        if self.extent is None:
            return None
        masks = self.network_masks(predicted, frame).numpy()
        extent, smallest = measure_extent(masks), self.extent.smallest
        if extent is None or not _LEAST * smallest <= extent < smallest:
            return None
        box, share = find_box(np.logical_or.reduce(masks)), _ROOM * extent / self.extent.usual
        part = enlarge(frame, box, share, self.preprocess)
        return part if part != frame else None

    def _clean(self, masks: Tensor) -> Tensor:
        clean_masks(masks.numpy(), self.classes, self.components, self.fill_holes)
        return masks


def build_decision(card: ModelCard, config: PredictConfig) -> Decision:
    """The decision with the settings of the model card and the threshold of `config`."""
    best = tuple(card.thresholds.get(name, 0.5) for name in card.classes)
    fixed = config.threshold
    return Decision(
        classes=card.classes,
        preprocess=card.preprocess,
        thresholds=best if fixed == "best" else (fixed,) * len(best),
        components=card.inference.components,
        fill_holes=card.inference.fill_holes,
        extent=card.extent if card.inference.zoom else None,
    )
