"""Traces of earlier processing in the gray levels of an image: lost bits, stretched contrast, clipping, wraparound."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.data.frame import find_field

_SAMPLES = 1_000_000
_LEVELS = 1 << 16
"""More levels than this occur only in images with fractional values, where gaps have no meaning."""
_EXACT = 2.0**53
"""From this number on, float64 has not all whole numbers."""
_EXPECTED = 20
"""Least expected pixels of a level, from its neighbors; an empty level then has a chance of 2 in 10^9 (Poisson)."""


@dataclass(frozen=True)
class GrayLevels:
    """Gray levels of one image, without padding."""

    count: int
    """Number of distinct values."""
    bits: int
    """Number of bits needed for the range in the smallest step, at most 16."""
    gaps: float
    """Share of empty levels with well-filled neighbors, between the 1st and 99th percentile."""
    jumps: float
    """Share of neighbors in a row that differ by more than three quarters of the range."""
    darkest: float
    """Share of pixels with the least value, inside flat borders."""
    brightest: float
    """Share of pixels with the greatest value, inside flat borders."""


def measure_gray_levels(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None) -> GrayLevels:
    """Measure the gray levels of an image `(rows, columns)`; large images are sampled at about a million pixels."""
    step = max(1, int(np.sqrt(pixels.size / _SAMPLES)))
    valid = np.ones_like(pixels, np.bool_) if padding is None else ~padding
    sampled, shown = pixels[::step, ::step], valid[::step, ::step]
    values, counts = np.unique(sampled[shown], return_counts=True)
    if len(values) < 2:
        return GrayLevels(len(values), 1, 0.0, 0.0, 1.0, 1.0)
    low, high = float(pixels[valid].min()), float(pixels[valid].max())
    places = np.rint(np.minimum((values.astype(np.float64) - values[0]) / _find_step(values), _LEVELS)).astype(np.int64)
    beside = valid[::step, 1:] & valid[::step, :-1]
    differences = np.abs(np.diff(pixels[::step].astype(np.float64), axis=1))[beside]
    field = find_field(sampled.astype(np.float64), shown)
    inside = sampled[field][shown[field]]
    return GrayLevels(
        count=len(values),
        bits=min(16, max(1, int(places[-1]).bit_length())),
        gaps=_find_gaps(places, counts) if places[-1] < _LEVELS else 0.0,
        jumps=float((differences > 0.75 * (high - low)).mean()) if differences.size else 0.0,
        darkest=float((inside == low).mean()) if inside.size else 0.0,
        brightest=float((inside == high).mean()) if inside.size else 0.0,
    )


def _find_step(values: NDArray[np.float32]) -> float:
    """Return the greatest common divisor of the differences of whole numbers; for fractions the least difference."""
    differences = np.diff(values.astype(np.float64))
    if (differences == np.rint(differences)).all() and differences.max() < _EXACT:
        return float(np.gcd.reduce(differences.astype(np.int64)))
    return float(differences.min())


def _find_gaps(places: NDArray[np.int64], counts: NDArray[np.intp]) -> float:
    """Return the share of empty levels among the well-filled regions of the histogram with these levels and counts."""
    histogram = np.zeros(int(places[-1]) + 1)
    histogram[places] = counts
    total = np.cumsum(histogram) / histogram.sum()
    first, last = np.searchsorted(total, (0.01, 0.99))
    inner = histogram[first : last + 1]
    populated = ndimage.uniform_filter1d(inner, 9) >= _EXPECTED
    return float((inner[populated] == 0).mean()) if populated.sum() >= 16 else 0.0
