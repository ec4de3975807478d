"""Whether probabilities mean what they say, where it matters: around the reference's contour."""

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
"""Half-width of the band around the contour, as a share of the picture's shorter side.

Around it lie 98 % or more of the pixels that a network of `configs/chest_xray.yaml` gets wrong on held-out JSRT cases,
and 93 % on Montgomery's, but only a third of all pixels for lungs, a tenth for heart or clavicles. Half the width would
lose up to a sixth of the wrong ones; the whole picture would mostly count background that no network gets wrong.
"""


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """The reliability of one class's probabilities, as sums over pixels; curves of cases add up with `+`.

    Bin i of n holds the probabilities from i / n up to, not including, (i + 1) / n; the last one 1 as well.
    """

    pixels: NDArray[np.int64]
    """How many pixels fell into each bin, `(bins,)`."""
    probability: NDArray[np.float64]
    """The sum of their probabilities, `(bins,)`."""
    foreground: NDArray[np.int64]
    """How many of them the reference counts to the class, `(bins,)`."""

    def __add__(self, other: "CalibrationCurve") -> "CalibrationCurve":
        return CalibrationCurve(
            self.pixels + other.pixels, self.probability + other.probability, self.foreground + other.foreground
        )

    @property
    def predicted(self) -> NDArray[np.float64]:
        """The mean probability in each bin; NaN where it is empty."""
        return divide(self.probability, self.pixels)

    @property
    def observed(self) -> NDArray[np.float64]:
        """The share of foreground in each bin; NaN where it is empty."""
        return divide(self.foreground, self.pixels)

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1; NaN without a pixel.

        The mean over pixels of |observed - predicted| of their bin (Naeini et al., AAAI 2015), here of the probability
        of foreground, not of the class that won.
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
    """The curve of one case and class: `probability` in [0, 1] and its reference, both `(rows, columns)`.

    Over the pixels within `band`, a share of the shorter side, of the reference's contour; without a pixel where the
    reference has none, being empty or the whole picture. Pixels that are `ignored` are left out.
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
    """The pixels at most `width` pixels from a contour, which runs along both sides of a mask's border.

    `mask` is `(rows, columns)`. The edge of the picture is no border: nobody knows what lies beyond.
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
    """The pixels with one of their four neighbours on the other side of the mask's border."""
    contour = np.zeros(mask.shape, np.bool_)
    across_rows, across_columns = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    contour[1:] |= across_rows
    contour[:-1] |= across_rows
    contour[:, 1:] |= across_columns
    contour[:, :-1] |= across_columns
    return contour
