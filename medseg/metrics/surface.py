"""How far two contours lie apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

from medseg.metrics.shape import find_box

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the contours of a prediction and its reference; in mm where spacing was known, else pixels."""

    hd95: float
    """The greater of the two directed 95th percentiles."""
    assd: float
    """Average symmetric surface distance: the mean over the pixels of both contours, taken together."""
    nsd: float
    """Normalised surface Dice: the share of the pixels of both contours within the tolerance of the other one."""


def measure_surface(
    prediction: Mask,
    reference: Mask,
    spacing_mm: tuple[float, float] | None,
    tolerance: float = 2.0,
    ignored: Mask | None = None,
) -> SurfaceDistances | None:
    """The distances between two masks `(rows, columns)`, None where either is empty.

    Both masks are background where pixels are `ignored`; a contour beside such a pixel is none. None, too, where that
    leaves no contour.
    `spacing_mm` is `(row, column)`; without it distances and `tolerance` count in pixels. The same numbers as
    `HausdorffDistanceMetric(percentile=95)`, `SurfaceDistanceMetric(symmetric=True)` and `SurfaceDiceMetric` of
    MONAI 1.6. NSD: Nikolov et al. 2018 (arXiv 1809.04430), with pixels of the contour for its length, as in Seidlitz et
    al. 2021 (arXiv 2111.05408).
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
    # In float32, as MONAI compares: 3 pixels of 0.6666667 mm are within 2 mm.
    within = both.astype(np.float32) <= np.float32(tolerance)
    hd95 = max(float(np.percentile(distances, 95)) for distances in (outward, inward))
    return SurfaceDistances(hd95, float(both.mean()), float(within.mean()))


def _find_contour(mask: Mask) -> Mask:
    """The pixels of a mask with one of their four neighbours outside it; beyond the picture all is outside."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    contour: Mask = mask & ~inside
    return contour


def _map_distance(contour: Mask, spacing_mm: tuple[float, float] | None) -> NDArray[np.float64]:
    """The Euclidean distance of each pixel from the nearest one of a contour."""
    distance: NDArray[np.float64] = distance_transform_edt(~contour, sampling=spacing_mm)
    return distance
