"""What the grey levels of a picture tell of its way here: lost bits, stretched contrast, values cut off or run over."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.data.preprocess import find_field

_SAMPLES = 1_000_000
_LEVELS = 1 << 16
"""More levels than this are those of a picture in fractions, which has no gaps to look for."""
_EXPECTED = 20
"""Pixels that the neighbours of a level lead to expect in it; then it is empty by chance once in 10^8 (Poisson)."""


@dataclass(frozen=True)
class GreyLevels:
    """The grey levels of one picture, padding apart."""

    count: int
    """Distinct values."""
    bits: int
    """Bits that would hold its range in its smallest steps, at most 16."""
    gaps: float
    """Share of the levels between the 1st and the 99th percentile that no pixel has, though their neighbours do."""
    jumps: float
    """Share of neighbours in a row that lie more than three quarters of the range apart."""
    darkest: float
    """Share of pixels, inside flat borders, that have the least value."""
    brightest: float
    """Share of pixels, inside flat borders, that have the greatest value."""


def measure_grey_levels(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None) -> GreyLevels:
    """The grey levels of a picture `(rows, columns)`, from a million of its pixels where it has more."""
    step = max(1, int(np.sqrt(pixels.size / _SAMPLES)))
    valid = np.ones_like(pixels, np.bool_) if padding is None else ~padding
    sampled, shown = pixels[::step, ::step], valid[::step, ::step]
    values, counts = np.unique(sampled[shown], return_counts=True)
    if len(values) < 2:
        return GreyLevels(len(values), 1, 0.0, 0.0, 1.0, 1.0)
    low, high = float(pixels[valid].min()), float(pixels[valid].max())
    places = np.rint((values.astype(np.float64) - low) / _find_step(values)).astype(np.int64)
    places -= places[0]
    beside = valid[::step, 1:] & valid[::step, :-1]
    differences = np.abs(np.diff(pixels[::step].astype(np.float64), axis=1))[beside]
    field = find_field(sampled.astype(np.float64), shown)
    inside = sampled[field][shown[field]]
    return GreyLevels(
        count=len(values),
        bits=min(16, max(1, int(places[-1]).bit_length())),
        gaps=_find_gaps(places, counts) if places[-1] < _LEVELS else 0.0,
        jumps=float((differences > 0.75 * (high - low)).mean()) if differences.size else 0.0,
        darkest=float((inside == low).mean()) if inside.size else 0.0,
        brightest=float((inside == high).mean()) if inside.size else 0.0,
    )


def _find_step(values: NDArray[np.float32]) -> float:
    """The step that all differences of whole numbers are multiples of; of fractions the smallest difference."""
    differences = np.diff(values.astype(np.float64))
    if (differences == np.rint(differences)).all():
        return float(np.gcd.reduce(differences.astype(np.int64)))
    return float(differences.min())


def _find_gaps(places: NDArray[np.int64], counts: NDArray[np.intp]) -> float:
    """The share of empty ones among the well-populated levels of a histogram given by its occupied places."""
    histogram = np.zeros(int(places[-1]) + 1)
    histogram[places] = counts
    total = np.cumsum(histogram) / histogram.sum()
    first, last = np.searchsorted(total, (0.01, 0.99))
    inner = histogram[first : last + 1]
    populated = ndimage.uniform_filter1d(inner, 9) >= _EXPECTED
    return float((inner[populated] == 0).mean()) if populated.sum() >= 16 else 0.0
