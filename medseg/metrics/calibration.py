"""Calibration of the probabilities around the contour of the reference."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from medseg.metrics.shape import find_box
from medseg.metrics.statistics import divide

Mask = NDArray[np.bool_]

NUM_BINS = 20
BAND = 0.05
"""Half-width of the band around the contour, as a share of the image's shorter side.

A network of `configs/chest_xray.yaml` has at least 98 % of its wrong pixels in this band on held-out JSRT cases, and
93 % on Montgomery cases. Yet the band holds only a third of all pixels for lungs, and a tenth for heart or clavicles.
Half the width would miss up to a sixth of the wrong pixels. The whole image is mostly background that every network
gets right.
"""


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """The reliability curve of one class, as sums over pixels. The curves of several cases are added with `+`.

    Bin i of n holds the probabilities from i / n up to, but not including, (i + 1) / n. The last bin includes 1.
    """

    pixels: NDArray[np.int64]
    """Number of pixels in each bin, `(bins,)`."""
    probability: NDArray[np.float64]
    """Sum of their probabilities, `(bins,)`."""
    foreground: NDArray[np.int64]
    """Number of these pixels that are foreground in the reference, `(bins,)`."""

    def __add__(self, other: "CalibrationCurve") -> "CalibrationCurve":
        return CalibrationCurve(
            self.pixels + other.pixels, self.probability + other.probability, self.foreground + other.foreground
        )

    @property
    def predicted(self) -> NDArray[np.float64]:
        """The mean probability in each bin; NaN for an empty bin."""
        return divide(self.probability, self.pixels)

    @property
    def observed(self) -> NDArray[np.float64]:
        """The share of foreground in each bin; NaN for an empty bin."""
        return divide(self.foreground, self.pixels)

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1; NaN without pixels.

        It is the mean over pixels of |observed - predicted| of their bin (Naeini et al., AAAI 2015). Here the
        probability is that of foreground, not that of the winning class.
        """
        total = int(self.pixels.sum())
        return float(np.abs(self.probability - self.foreground).sum() / total) if total else math.nan


def measure_calibration(
    probability: NDArray[np.float32],
    reference: Mask,
    band: float = BAND,
    num_bins: int = NUM_BINS,
    ignored: Mask | None = None,
) -> CalibrationCurve:
    """The curve of one case and class. `probability`, in [0, 1], and `reference` are both `(rows, columns)`.

    It covers the pixels near the contour of the reference: up to `band`, a share of the shorter side. The curve has no
    pixels if the reference has no contour because it is empty or fills the image. `ignored` pixels are left out.
    """
    near = find_band(reference, band * min(reference.shape))
    near = near if ignored is None else near & ~ignored
    chosen = probability[near].astype(np.float64)
    bins = np.minimum((chosen * num_bins).astype(np.int64), num_bins - 1)
    return CalibrationCurve(
        np.bincount(bins, minlength=num_bins),
        np.bincount(bins, chosen, minlength=num_bins).astype(np.float64, copy=False),
        np.bincount(bins[reference[near]], minlength=num_bins),
    )


def find_band(mask: Mask, width: float) -> Mask:
    """The pixels at a distance of at most `width` pixels from the contour, the pixels on both sides of a mask's border.

    `mask` is `(rows, columns)`. The edge of the image is not a border, because the structure may continue outside it.
    """
    band = np.zeros(mask.shape, np.bool_)
    if not mask.any():
        return band
    margin = math.floor(width) + 1  # the contour's outer side lies one pixel outside the mask
    near = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in find_box(mask))
    contour = _find_both_sides(mask[near])
    if contour.any():
        band[near] = distance_transform_edt(~contour) <= width
    return band


def _find_both_sides(mask: Mask) -> Mask:
    """The pixels that have one of their four neighbors on the other side of the mask's border."""
    contour = np.zeros(mask.shape, np.bool_)
    across_rows, across_columns = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    contour[1:] |= across_rows
    contour[:-1] |= across_rows
    contour[:, 1:] |= across_columns
    contour[:, :-1] |= across_columns
    return contour
