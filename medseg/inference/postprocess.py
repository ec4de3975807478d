"""Cleaning of predicted masks: keep the largest connected components, fill holes."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.shape import find_box


def clean_masks(
    masks: NDArray[np.bool_], classes: Sequence[str], components: Mapping[str, int], fill_holes: bool
) -> NDArray[np.bool_]:
    """Cleaned masks `(class, rows, columns)`. For each class in `components`, only that many largest pieces are kept.

    Pixels that touch at a corner belong to one piece. Among pieces of equal size, the one that starts higher up comes
    first; in the same row, the one further left. Then `fill_holes` fills, in every class, background that is enclosed
    by the mask; diagonal gaps count as closed. The given masks are not changed.
    """
    cleaned = masks
    for index, name in enumerate(classes):
        if (name in components or fill_holes) and masks[index].any():
            cleaned = masks.copy() if cleaned is masks else cleaned
            box = find_box(masks[index])
            part = masks[index][box]
            if name in components:
                part = _keep_largest(part, components[name])
            cleaned[index][box] = _fill(part) if fill_holes else part
    return cleaned


def _keep_largest(mask: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    sitk: Any = import_module("SimpleITK")
    labeling = sitk.ConnectedComponentImageFilter()
    labeling.FullyConnectedOn()
    labels = labeling.Execute(sitk.GetImageFromArray(mask.astype(np.uint8)))
    if labeling.GetObjectCount() <= number:
        return mask
    ordered = sitk.GetArrayFromImage(sitk.RelabelComponent(labels))
    return np.asarray((ordered > 0) & (ordered <= number))


def _fill(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    sitk: Any = import_module("SimpleITK")
    filled = sitk.BinaryFillhole(sitk.GetImageFromArray(mask.astype(np.uint8)), False, 1.0)
    return np.asarray(sitk.GetArrayFromImage(filled), np.bool_)
