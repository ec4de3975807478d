"""Checks whether masks are like those of the training set."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.shape import measure_outline, measure_position
from medseg.model.checkpoint import Range

_WIDENED = 0.1
_LONGER = 1.05  # an outline longer than this times that of any training mask is ragged


def find_empty(masks: NDArray[np.bool_], classes: Sequence[str]) -> list[str]:
    """A warning `empty_<class>` for each empty mask. `masks` is `(class, rows, columns)`."""
    return [f"empty_{name}" for name, mask in zip(classes, masks, strict=True) if not mask.any()]


def find_implausible(masks: NDArray[np.bool_], classes: Sequence[str], ranges: Mapping[str, Range]) -> list[str]:
    """A warning `implausible_<class>` for each mask that is ragged, or whose area or center is not as in training.

    `masks` is `(class, rows, columns)` at the network's input size, the size at which `ranges` were measured. Each
    range is widened by a tenth of its width on both sides. Empty masks and classes without a range are skipped.
    """
    found = []
    for name, mask in zip(classes, masks, strict=True):
        position = measure_position(mask)
        if position is None or name not in ranges:
            continue
        known = ranges[name]
        ragged = known.outline is not None and measure_outline(mask) > _LONGER * known.outline[1]
        if ragged or not all(map(_is_within, position, (known.area, known.row, known.column))):
            found.append(f"implausible_{name}")
    return found


def _is_within(value: float, known: tuple[float, float]) -> bool:
    margin = _WIDENED * (known[1] - known[0])
    return known[0] - margin <= value <= known[1] + margin
