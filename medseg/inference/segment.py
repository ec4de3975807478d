"""Probabilities of one image -> masks at the original size, their measurements and warnings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medseg.data.frame import Frame
from medseg.inference.decision import Decision
from medseg.inference.plausibility import find_empty, find_implausible
from medseg.metrics.measurements import Measured, choose_measurements
from medseg.model.checkpoint import Range


@dataclass(frozen=True, eq=False)
class Segmented:
    """The masks of one image."""

    masks: NDArray[np.bool_] = field(repr=False)
    """`(class, rows, columns)` at the original size."""
    measured: Mapping[str, Measured]
    """By column of the report: `ctr`."""
    warnings: tuple[str, ...]


def segment(
    decision: Decision, ranges: Mapping[str, Range], predicted: Tensor, frame: Frame, view: str | None
) -> Segmented:
    """Masks at the original size from the network's probabilities `(class, rows, columns)`, and their measures.

    `ranges` are the ranges of the training masks. `view` is the ViewPosition of the image. It determines which
    measurements are possible. A number is left out, with a warning, if a mask it rests on is implausible or has too
    many pieces.
    """
    masks, classes = decision.masks(predicted, frame).numpy(), decision.classes
    warnings = find_empty(masks, classes)
    warnings += find_implausible(decision.network_masks(predicted, frame).numpy(), classes, ranges)
    measured: dict[str, Measured] = {}
    for each in choose_measurements(classes):
        own = (masks[classes.index(name)] for name in each.classes)
        doubts = each.views.get(view or "")
        if doubts is None or (found := each.measure(*own)) is None:
            continue
        implausible = [f"implausible_{name}" for name in each.classes]
        faults = [*(code for code in implausible if code in warnings), *found.faults]
        if faults:
            warnings.append(f"no {each.name}: {', '.join(faults)}")
        else:
            measured[each.name] = found
            warnings += [*found.warnings, *doubts]
    return Segmented(masks, measured, tuple(warnings))
