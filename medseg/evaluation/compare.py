"""Comparison of two models on the same cases: paired differences, and the cases that changed most."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.per_case import OVERLAP, SURFACE
from medseg.evaluation.result import CaseResult, Comparison
from medseg.evaluation.summary import list_counts
from medseg.metrics.statistics import LEVEL, Paired, adjust_holm, compare_paired, count_needed, divide

_MOVED = 12
"""Largest number of changed cases that are listed."""

Values = NDArray[np.float64]
Pairs = Sequence[tuple[CaseResult, CaseResult]]


def pair_cases(
    ours: Sequence[CaseResult], theirs: Sequence[CaseResult], other: str, subset: str, *, same_files: bool
) -> tuple[Pairs, list[str]]:
    """Pairs of results of the same case, and warnings about cases that are not compared.

    Cases are paired by name. A pair is left out if both digests are known and differ, unless both come from the
    `same_files`. A case that the model `other` has seen is left out unless `subset` is `all`.
    """
    by_case = {case.case: case for case in theirs}
    named = [(case, by_case[case.case]) for case in ours if case.case in by_case]
    same = [(a, b) for a, b in named if same_files or not (a.digest and b.digest) or a.digest == b.digest]
    pairs = [(a, b) for a, b in same if subset == "all" or not b.seen]
    kept = "compared" if subset == "all" else "not compared"
    counts = {
        f"not compared: {other} has different pixels under the same case name": len(named) - len(same),
        f"{kept}: {other} was trained or validated on these": sum(bool(b.seen) for _, b in same),
    }
    return pairs, list_counts(counts)


def compare_cases(pairs: Pairs, classes: Sequence[str], unit: str, other: str, seed: int) -> Comparison:
    """The results of the model `other` (second of each pair) minus those of this model.

    Differences are per metric and class, with p-values Holm-corrected over the classes of a metric. `dice` and `iou`
    compare the mean over classes of each case. Surface distances only count if both are in `unit`.
    """
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    patients = [case.patient for case in first]
    in_unit = np.array([ours.unit == theirs.unit == unit for ours, theirs in pairs], bool)
    differences: dict[str, Paired] = {}
    adjusted: dict[str, float] = {}
    for metric in (*OVERLAP, *SURFACE):
        names = [f"{metric}_{name}" for name in classes]
        ours, theirs = _gather(first, names), _gather(second, names)
        if metric in SURFACE:
            ours[~in_unit] = np.nan
        families = [(names, ours, theirs)]
        if metric in OVERLAP:
            families.append(([metric], _average(ours), _average(theirs)))
        for columns, mine, others in families:
            paired = compare_paired(others, mine, patients, seed)
            differences |= dict(zip(columns, paired, strict=True))
            adjusted |= dict(zip(columns, adjust_holm([result.p_value for result in paired]), strict=True))
    return Comparison(other, differences, adjusted, _find_moved(pairs, classes), len(pairs), len(set(patients)))


def warn_of_few(comparison: Comparison) -> list[str]:
    """A warning if there are too few patients for any class to differ significantly, else an empty list."""
    num_tests = sum(name.startswith("dice_") and math.isfinite(p) for name, p in comparison.adjusted.items())
    needed = count_needed(num_tests)
    if comparison.patients >= needed:
        return []
    classes = "1 class" if num_tests == 1 else f"{num_tests} classes"
    return [
        f"{comparison.patients} patients are too few for the comparison: with fewer than {needed}, no p-value over "
        f"{classes} can fall below {LEVEL:g}"
    ]


def _find_moved(cases: Pairs, classes: Sequence[str]) -> list[tuple[str, str, float, float]]:
    """Case, metric and both values of the largest changes of Dice; each case once, with its class that changed most."""
    moved = []
    for ours, theirs in cases:
        pairs = [(name, ours.scores.get(name), theirs.scores.get(name)) for name in (f"dice_{c}" for c in classes)]
        known = [(n, a, b) for n, a, b in pairs if a is not None and b is not None and np.isfinite(a - b)]
        if known:
            moved.append((ours.case, *max(known, key=lambda found: abs(found[2] - found[1]))))
    changed = [row for row in moved if row[2] != row[3]]
    return sorted(changed, key=lambda row: (-abs(row[3] - row[2]), row[0]))[:_MOVED]


def _gather(cases: Sequence[CaseResult], names: Sequence[str]) -> Values:
    return np.array([[case.scores.get(name, np.nan) for name in names] for case in cases], np.float64)


def _average(values: Values) -> Values:
    """The mean over the known classes of each case, `(cases, 1)`."""
    known = np.isfinite(values)
    sums, numbers = np.where(known, values, 0).sum(axis=1, keepdims=True), known.sum(axis=1, keepdims=True)
    return divide(sums, numbers)
