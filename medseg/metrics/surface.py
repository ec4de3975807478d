"""Distances between the contours of two masks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

from medseg.metrics.shape import find_box

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the contours of a prediction and its reference: in mm, or in pixels without a spacing."""

    hd95: float
    """95th percentile of the Hausdorff distance: the greater of the two directed percentiles."""
    assd: float
    """Average symmetric surface distance: the mean over the pixels of both contours together."""
    nsd: float
    """Normalized surface Dice: the share of the contour pixels that lie within the tolerance of the other contour."""


def measure_surface(
    prediction: Mask,
    reference: Mask,
    spacing_mm: tuple[float, float] | None,
    tolerance: float = 2.0,
    ignored: Mask | None = None,
) -> SurfaceDistances | None:
    """The distances between two masks `(rows, columns)`; None if either is empty or no contour is left.

    Both masks must be background in `ignored` pixels. Contour pixels in or beside ignored pixels are left out.

    `spacing_mm` is `(row, column)`. Without it, distances and `tolerance` are in pixels. The results equal those of
    `HausdorffDistanceMetric(percentile=95)`, `SurfaceDistanceMetric(symmetric=True)` and `SurfaceDiceMetric` of MONAI
    1.6. NSD is defined by Nikolov et al. 2018 (arXiv 1809.04430); the contour's length is its number of pixels, as in
    Seidlitz et al. 2021 (arXiv 2111.05408).
    """
    if not prediction.any() or not reference.any():
        return None
    box = find_box(prediction | reference)  # holds both contours, so the distance maps are exact in it
    predicted, true = _find_contour(prediction[box]), _find_contour(reference[box])
    if ignored is not None:
        unknown = binary_dilation(ignored)[box]
        predicted, true = predicted & ~unknown, true & ~unknown
        if not predicted.any() or not true.any():
            return None
    outward = _map_distance(true, spacing_mm)[predicted]
    inward = _map_distance(predicted, spacing_mm)[true]
    both = np.concatenate([outward, inward])
    # MONAI compares in float32, so 3 pixels of 0.6666667 mm are within 2 mm.
    within = both.astype(np.float32) <= np.float32(tolerance)
    hd95 = max(float(np.percentile(distances, 95)) for distances in (outward, inward))
    return SurfaceDistances(hd95, float(both.mean()), float(within.mean()))


def _find_contour(mask: Mask) -> Mask:
    """The pixels of a mask that have one of their four neighbors outside it. Pixels beyond the image are outside."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    contour: Mask = mask & ~inside
    return contour


def _map_distance(contour: Mask, spacing_mm: tuple[float, float] | None) -> NDArray[np.float64]:
    """The Euclidean distance of each pixel from the nearest contour pixel."""
    distance: NDArray[np.float64] = distance_transform_edt(~contour, sampling=spacing_mm)
    return distance
