"""Cleaning of predicted masks: keep the largest connected components, fill holes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.runs import Runs, count_pixels, find_gaps, find_runs, label_runs, paint


def clean_masks(
    masks: NDArray[np.bool_], classes: Sequence[str], components: Mapping[str, int], fill_holes: bool
) -> None:
    """Clean masks `(class, rows, columns)` in place.

    For each class in `components`, only that many largest pieces are kept. Pixels that touch at a corner belong to one
    piece. Among pieces of equal size, the one that starts higher up comes first; in the same row, the one further left.
    Then `fill_holes` fills, in every class, background that is enclosed by the mask; diagonal gaps count as closed.
    """
    for mask, name in zip(masks, classes, strict=True):
        if name not in components and not fill_holes:
            continue
        runs = find_runs(mask)
        if name in components:
            kept = _find_largest(runs, components[name])
            paint(mask, runs[~kept], False)
            runs = runs[kept]
        if fill_holes:
            paint(mask, _find_holes(runs, mask.shape), True)


def _find_largest(runs: Runs, number: int) -> NDArray[np.bool_]:
    """Whether each run belongs to one of the `number` largest pieces."""
    labels = label_runs(runs, corners=True)
    largest = np.argsort(-count_pixels(runs, labels), kind="stable")[:number]
    return np.isin(labels, largest)


def _find_holes(runs: Runs, size: tuple[int, int]) -> Runs:
    gaps = find_gaps(runs, size)
    labels = label_runs(gaps, corners=False)
    return gaps[labels != labels[0]]  # the first gap is outside
