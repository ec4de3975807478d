"""Summaries over cases: means with their intervals, and results that need all cases together."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np
import torch

from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.per_case import OVERLAP, SURFACE, CaseMeasurement, name_scores
from medseg.evaluation.ranking import choose_cases
from medseg.evaluation.result import Evaluation, Summary
from medseg.metrics.calibration import CalibrationCurve
from medseg.metrics.overlap import find_overall
from medseg.metrics.statistics import Values, bland_altman, bootstrap, bootstrap_mean


def sum_up(
    cases: Sequence[CaseMeasurement],
    classes: Sequence[str],
    config: EvaluationConfig,
    *,
    model: str,
    data: str,
    subset: str,
    moved: Collection[str] = (),
) -> Evaluation:
    """One evaluation of `cases`, with images of the cases that `config.shown` selects and of those in `moved`."""
    unit, seed = find_unit(cases), config.seed
    results = [case.result for case in cases]
    shown = {*moved, *(case.case for case in choose_cases(results, classes, config.shown))}
    agreement = bland_altman([case.scores.get("ctr_error", math.nan) for case in results])
    warnings = {
        "scored although the model was trained or validated on these": sum(bool(case.seen) for case in results),
        **dict(Counter(warning for case in cases for warning in case.warnings).most_common()),
    }
    return Evaluation(
        model=model,
        data=data,
        subset=subset,
        left_out=0,
        classes=classes,
        cases=[case.show() if case.result.case in shown else case.result for case in cases],
        summaries=summarize(cases, classes, unit, seed),
        by=summarize_by(cases, config.by, classes, unit, seed),
        calibration=sum_calibration(cases, classes),
        ctr=None if math.isnan(agreement.bias) else agreement,
        warnings=list_counts(warnings),
        unit=unit,
        spacing=dict(Counter(case.spacing_source for case in cases)),
        shown=config.shown,
    )


def list_counts(warnings: Mapping[str, int]) -> list[str]:
    """Each warning followed by its number of cases; warnings that concern no case are left out."""
    return [f"{text} ({count} case{'s' if count > 1 else ''})" for text, count in warnings.items() if count]


def find_unit(cases: Sequence[CaseMeasurement]) -> str:
    """The unit of the surface distances of most cases: `mm` or `px`."""
    units = Counter(case.result.unit for case in cases)
    return "mm" if units["mm"] >= units["px"] else "px"


def gather_scores(cases: Sequence[CaseMeasurement], names: Sequence[str], unit: str) -> Values:
    """The scores `(case, name)`; NaN if missing, or for surface distances in another unit than `unit`."""
    return np.array(
        [
            [
                np.nan if name.startswith(SURFACE) and case.result.unit != unit else case.result.scores[name]
                for name in names
            ]
            for case in cases
        ],
        np.float64,
    ).reshape(len(cases), len(names))


def summarize(cases: Sequence[CaseMeasurement], classes: Sequence[str], unit: str, seed: int) -> list[Summary]:
    """Means over cases of `dice`, `iou`, `miou` and every score of `name_scores`, with 95 % intervals by patient."""
    names, patients = name_scores(classes), [case.result.patient for case in cases]
    values = gather_scores(cases, names, unit)
    means = torch.from_numpy(values).nanmean(dim=0).tolist()
    known = np.isfinite(values).sum(axis=0).tolist()
    intervals = bootstrap_mean(values, patients, seed)
    counts = np.stack([case.counts for case in cases]).reshape(len(cases), -1)
    overlap = gather_scores(cases, [f"{metric}_{name}" for metric in OVERLAP for name in classes], unit)

    def overall(weights: Values) -> Values:
        return find_overall(weights, overlap, counts, len(classes))

    whole = overall(np.ones((1, len(cases))))[0].tolist()
    together = zip((*OVERLAP, "miou"), whole, bootstrap(overall, patients, seed), strict=True)
    return [Summary(name, mean, interval, len(cases), 0) for name, mean, interval in together] + [
        Summary(name, mean, interval, count, len(cases) - count)
        for name, mean, interval, count in zip(names, means, intervals, known, strict=True)
    ]


def summarize_by(
    cases: Sequence[CaseMeasurement], columns: Sequence[str], classes: Sequence[str], unit: str, seed: int
) -> dict[str, dict[str, list[Summary]]]:
    """Summaries by column and by value of the column."""
    found: dict[str, dict[str, list[Summary]]] = {}
    for column in columns:
        found[column] = {
            value: summarize([case for case in cases if case.result.groups[column] == value], classes, unit, seed)
            for value in sorted({case.result.groups[column] for case in cases})
        }
    return found


def sum_calibration(cases: Sequence[CaseMeasurement], classes: Sequence[str]) -> dict[str, CalibrationCurve]:
    """The calibration curve of each class over all cases."""
    return {name: reduce(add, [case.calibration[index] for case in cases]) for index, name in enumerate(classes)}


def compare_thresholds(
    cases: Sequence[CaseMeasurement], classes: Sequence[str], stored: Mapping[str, float]
) -> dict[str, tuple[float, float, float]]:
    """By class: the stored best threshold, the mean Dice at this threshold, and the mean Dice at 0.5."""
    means = torch.from_numpy(np.stack([case.thresholds for case in cases])).nanmean(dim=0)
    return {
        name: (stored[name], float(means[0, index]), float(means[1, index]))
        for index, name in enumerate(classes)
        if name in stored
    }
