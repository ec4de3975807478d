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
    labels, count = _find_pieces(mask, corners=True)
    if count <= number:
        return mask
    ordered = sitk.GetArrayFromImage(sitk.RelabelComponent(labels))
    return np.asarray((ordered > 0) & (ordered <= number))


def _fill(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    sitk: Any = import_module("SimpleITK")
    if _find_pieces(~np.pad(mask, 1), corners=False)[1] == 1:  # no hole; the filter takes twice as long to find that
        return mask
    filled = sitk.BinaryFillhole(sitk.GetImageFromArray(mask.astype(np.uint8)), False, 1.0)
    return np.asarray(sitk.GetArrayFromImage(filled), np.bool_)


def _find_pieces(mask: NDArray[np.bool_], corners: bool) -> tuple[Any, int]:
    """The pieces of a mask, as labels from 1 in a SimpleITK image, and their number."""
    sitk: Any = import_module("SimpleITK")
    labeling = sitk.ConnectedComponentImageFilter()
    labeling.SetFullyConnected(corners)
    labels = labeling.Execute(sitk.GetImageFromArray(mask.astype(np.uint8)))
    return labels, int(labeling.GetObjectCount())
