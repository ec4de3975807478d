"""Confidence intervals and tests for means over cases, if patients may have several cases."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]
"""Function from the weights of the cases, `(resamples, cases)`, to statistics, `(resamples, columns)`. A weight is the
number of times that a case counts. NaN if a statistic has no value."""

LEVEL = 0.05
"""Significance level: smaller p-values are significant."""
_FLIPS = 10_000
"""Number of random sign flips if not all flips are tried. P-values are then multiples of about 1 / `_FLIPS`."""
_ALL_FLIPS = 14
"""Up to this number of patients, all flips are tried: 2^13, because flipping all signs changes nothing."""
_BLOCK = 200
"""Number of rows of weights or signs in memory at a time: 16 MB for 10,000 cases."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval; NaN if fewer than two patients have a value."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """The mean of `first - second` over the cases that have both values, with its interval and p-value."""

    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided p-value of the hypothesis that there is no difference; NaN without a case."""


@dataclass(frozen=True)
class Agreement:
    """Bland and Altman's bias and limits of agreement (Lancet 1986; i: 307-310)."""

    bias: float
    low: float
    high: float


def bootstrap_mean(
    values: Values, patients: Sequence[str], seed: int, number: int = 2000, level: float = 0.95
) -> list[Interval]:
    """The confidence interval of the mean over cases, for each column of `values`: `(cases, columns)`, NaN if missing.

    It is `bootstrap` applied to means. All columns share the same resamples.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0)
    cases = known.astype(np.float64)

    def mean(weights: Values) -> Values:
        return divide(weights @ filled, weights @ cases)

    which = _number_patients(patients)
    num_patients = _sum_by_patient(cases, which).astype(bool).sum(axis=0)
    return _bootstrap(mean, which, seed, number, level, num_patients)


def bootstrap(
    statistic: Statistic, patients: Sequence[str], seed: int, number: int = 2000, level: float = 0.95
) -> list[Interval]:
    """The confidence interval of each column of `statistic`. Patients, not cases, are resampled `number` times.

    The method is the bias-corrected and accelerated bootstrap (BCa; Efron, JASA 1987). Its levels are widened for few
    patients (Hesterberg, The American Statistician 2015), because any bootstrap of n patients is too narrow by
    sqrt(1 - 1 / n) and does not use the t distribution.

    In 4000 simulated samples with Dice-like values (skew -1 to -4), nominal 95 % intervals held the true mean this
    often. 15 patients: percentile bootstrap 85 to 91 %, plain BCa 86 to 91 %, this method 90 to 94 %. 40 patients: 91
    to 93 %, 91 to 94 %, 92 to 95 %. Resampling cannot see failures that are not in the sample: if one case in 20 fails,
    intervals from 15 patients hold the true mean in only 67 %.
    """
    which = _number_patients(patients)
    return _bootstrap(statistic, which, seed, number, level, np.asarray(which.max(initial=-1) + 1))


def compare_paired(first: Values, second: Values, patients: Sequence[str], seed: int) -> list[Paired]:
    """The mean difference of each column of `first` and `second`, both `(cases, columns)`, NaN if missing.

    The interval is that of `bootstrap_mean`. The test flips the signs of each patient's differences: all flips for up
    to 14 patients, else 10,000 random flips (with the added 1 of Phipson and Smyth, SAGMB 2010). It keeps its error
    rate if only chance decides which of the two got which value, and it tests the same mean that is reported.
    Wilcoxon's test would drop ties and use ranks, so a few large failures could not outweigh many small gains.
    """
    differences = first - second
    known = np.isfinite(differences)
    means = divide(np.where(known, differences, 0).sum(axis=0)[None], known.sum(axis=0)[None])[0]
    intervals = bootstrap_mean(differences, patients, seed)
    sums = _sum_by_patient(np.where(known, differences, 0), _number_patients(patients))
    p_values = np.where(known.any(axis=0), _flip_signs(sums, seed), np.nan)
    return [
        Paired(float(mean), interval.low, interval.high, float(p_value))
        for mean, interval, p_value in zip(means, intervals, p_values, strict=True)
    ]


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of one family of tests, adjusted by Holm's method (Scand J Stat 1979), in the same order.

    The i-th smallest of m p-values is multiplied by m - i + 1. The result is at most 1 and at least the previous one.
    NaN stands for no test.
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    greatest = 0.0
    for rank, (p, index) in enumerate(order):
        greatest = max(greatest, min(1.0, p * (len(order) - rank)))
        adjusted[index] = greatest
    return adjusted


def count_needed(num_tests: int) -> int:
    """The fewest patients with which one of `num_tests` p-values, adjusted by Holm, can be significant."""
    return next(patients for patients in count(1) if num_tests * 2.0 ** (1 - patients) < LEVEL)


def bland_altman(differences: Sequence[float]) -> Agreement:
    """The bias and the limits that should contain 95 % of `differences`: mean -+ 1.96 standard deviations (n - 1).

    NaN values are left out. The limits are NaN for fewer than two differences.
    """
    known = np.array([difference for difference in differences if not math.isnan(difference)], np.float64)
    bias = float(known.mean()) if len(known) else math.nan
    spread = 1.96 * float(known.std(ddof=1)) if len(known) > 1 else math.nan
    return Agreement(bias, bias - spread, bias + spread)


def divide(sums: Values | NDArray[np.int64], counts: Values | NDArray[np.int64]) -> Values:
    """`sums / counts`, both of the same shape; NaN for a count of 0."""
    means: Values = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def _bootstrap(
    statistic: Statistic, which: NDArray[np.intp], seed: int, number: int, level: float, num_patients: NDArray[np.intp]
) -> list[Interval]:
    """`bootstrap` with numbered patients.

    `which` is the patient of each case. `num_patients` is the number of patients with a value, one or `(columns,)`.
    """
    total = int(which.max(initial=-1)) + 1
    whole = statistic(np.ones((1, len(which))))[0]
    counts = np.broadcast_to(num_patients, whole.shape)
    if total < 2:
        return [Interval(math.nan, math.nan) for _ in whole]
    rng, even = np.random.default_rng(seed), np.full(total, 1 / total)

    def draw(rows: range) -> Values:
        return statistic(rng.multinomial(total, even, size=len(rows))[:, which].astype(np.float64))

    def leave_out(patients: range) -> Values:
        return statistic((np.array(patients)[:, None] != which).astype(np.float64))

    resampled, left_out = (np.concatenate([*map(work, _block(n))]) for work, n in ((draw, number), (leave_out, total)))
    return [_find_interval(*column, level) for column in zip(whole, resampled.T, left_out.T, counts, strict=True)]


def _find_interval(whole: float, resampled: Values, left_out: Values, num_patients: int, level: float) -> Interval:
    """The widened BCa interval of one number. `left_out` holds its values without each patient (jackknife)."""
    resampled, left_out = (values[np.isfinite(values)] for values in (resampled, left_out))
    if num_patients < 2 or not len(resampled):
        return Interval(math.nan, math.nan)
    rounding = 1e-9 * np.ptp(resampled)
    below = np.mean(resampled < whole - rounding) + np.mean(abs(resampled - whole) <= rounding) / 2
    bias = ndtri(np.clip(below, 0.5 / len(resampled), 1 - 0.5 / len(resampled)))
    influence = left_out.mean() - left_out
    spread = float((influence**2).sum()) ** 1.5
    skew = float((influence**3).sum()) / (6 * spread) if spread > 0 else 0.0
    reach = math.sqrt(num_patients / (num_patients - 1)) * stdtrit(num_patients - 1, (1 + level) / 2)
    shifted = bias + np.array([-reach, reach])
    low, high = np.quantile(resampled, ndtr(bias + shifted / np.maximum(1 - skew * shifted, 1e-9)))
    return Interval(float(low), float(high))


def _flip_signs(sums: Values, seed: int) -> Values:
    """The two-sided p-value of each column of `sums`, `(patients, columns)`, by flipping signs."""
    observed = abs(sums.sum(axis=0)) * (1 - 1e-9)
    patients = len(sums)
    if patients <= _ALL_FLIPS:
        flips = np.arange(2 ** max(patients - 1, 0))[:, None] >> np.arange(patients) & 1
        exact: Values = (abs((1 - 2.0 * flips) @ sums) >= observed).mean(axis=0)
        return exact
    rng = np.random.default_rng(seed)
    as_great = np.ones(sums.shape[1], np.int64)
    for rows in _block(_FLIPS):
        signs = 1 - 2.0 * rng.integers(0, 2, (len(rows), patients))
        as_great += (abs(signs @ sums) >= observed).sum(axis=0)
    return as_great / np.float64(_FLIPS + 1)


def _block(number: int) -> list[range]:
    """The rows from 0 to `number - 1`, in blocks of `_BLOCK`."""
    return [range(number)[first : first + _BLOCK] for first in range(0, number, _BLOCK)]


def _number_patients(patients: Sequence[str]) -> NDArray[np.intp]:
    """The number of each case's patient, counted from 0."""
    return np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)[1]


def _sum_by_patient(values: Values, which: NDArray[np.intp]) -> Values:
    sums = np.zeros((int(which.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, which, values)
    return sums
