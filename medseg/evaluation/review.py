"""Records an evaluation in MLflow for review: metrics, curves, the table of cases, images of the worst cases."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.data.findings import list_findings
from medseg.evaluation.champion import promote_model
from medseg.evaluation.files import METRICS, PER_CASE, REPORT, build_rows
from medseg.evaluation.per_case import name_scores
from medseg.evaluation.ranking import rank_cases
from medseg.evaluation.result import CaseResult, Evaluation, StressCurve
from medseg.inference.models import LoadedModel
from medseg.output.card import CARD
from medseg.output.drawing import draw_legend, draw_strip
from medseg.tracking.config import EvaluateTrackingConfig, TrackingConfig
from medseg.tracking.lifecycle import start_run
from medseg.tracking.run import Run
from medseg.tracking.store import find_store

NUM_WORST = 6
"""Number of cases with recorded images; limited by `shown`, the number of images that were kept."""


def review_evaluation(
    evaluation: Evaluation, folder: Path, tracking: EvaluateTrackingConfig, run_id: str | None
) -> list[str]:
    """Record an evaluation and promote its model, each if `tracking` asks for it; returns a sentence about each.

    Raises as `record_evaluation` and `promote_model` do.
    """
    said = []
    if tracking.record:
        record_evaluation(evaluation, folder, tracking, run_id)
        said.append(f"to look at it in MLflow: {find_store(tracking).ui_command}")
    if tracking.promote and tracking.register is not None:
        said.append(promote_model(evaluation, run_id, tracking, tracking.register))
    return said


def find_training_run(addresses: tuple[str, ...], model: LoadedModel) -> str | None:
    """The MLflow run that trained the model, or the parent run of a cross-validation's folder; None if unknown."""
    summary = Path(addresses[0]) / "summary.json"
    if len(addresses) == 1 and len(model.networks) > 1 and summary.is_file():
        with suppress(ValueError, KeyError, TypeError):  # a damaged summary names no run
            return str(json.loads(summary.read_bytes())["run_id"])
    return model.card.run_id


def record_evaluation(
    evaluation: Evaluation, folder: Path, tracking: EvaluateTrackingConfig, run_id: str | None
) -> str:
    """Record an evaluation and its files in `folder` as an MLflow run; returns the run's id.

    If the store has the training run `run_id`, the new run is nested under it and named after it; else it is a
    top-level run. Metric names are the same for any model and data, so that evaluations can be compared side by side.
    Raises `ConfigError` if the store cannot be used.
    """
    config = TrackingConfig(
        uri=tracking.uri,
        experiment=tracking.experiment,
        run_name=tracking.run_name or (None if run_id else f"{evaluation.model[:8]} on {evaluation.data}"),
        description=tracking.description,
        system_metrics=False,
    )
    facts = {"model": evaluation.model, "data": evaluation.data, "subset": evaluation.subset}
    tags = {f"medseg.{key}": value for key, value in facts.items()} | {"medseg.kind": "evaluation"}
    if run_id is not None:
        tags["medseg.trained_in"] = run_id
    # no parameters: the UI would show them above the images
    with start_run(config, parameters={}, tags=tags, parent_run_id=run_id) as run:
        log_evaluation(run, evaluation, folder, "evaluation")
    return run.id


def log_evaluation(run: Run, evaluation: Evaluation, folder: Path, prefix: str) -> None:
    """Record an evaluation in `run`: metrics as `<prefix>/<name>`, data set, files, table, worst cases."""
    run.log_metrics(list_metrics(evaluation, prefix), step=0)
    _log_stress(run, evaluation.stress)
    run.log_input(evaluation.data, "evaluation", evaluation.digest, evaluation.data, len(evaluation.cases))
    for file in (REPORT, METRICS, PER_CASE, CARD):
        if (folder / file).is_file():
            run.log_file(folder / file)
    if evaluation.findings is not None:
        run.log_dict({"findings": list_findings(evaluation.findings)}, "check.json")
    run.log_table(_build_table(evaluation), "per_case.json")
    _log_worst(run, evaluation)


def list_metrics(evaluation: Evaluation, prefix: str) -> dict[str, float]:
    """All single numbers of an evaluation under their names in MLflow; NaN if unknown.

    Means are `<prefix>/<name>`, the bounds of their intervals `<prefix>_low/<name>` and `<prefix>_high/<name>`, which
    the UI shows in separate sections. Differences to another model are `other_minus_this/<name>`, with bounds likewise;
    their adjusted p-values are `other_minus_this_p/<name>`.
    """
    metrics: dict[str, float] = {}
    for summary in evaluation.summaries:
        metrics |= _name_bounds(prefix, summary.name, summary.mean, summary.interval.low, summary.interval.high)
    metrics |= {f"{prefix}/calibration_error_{name}": curve.error for name, curve in evaluation.calibration.items()}
    metrics |= {f"{prefix}/cases": len(evaluation.cases), f"{prefix}/left_out": evaluation.left_out}
    if evaluation.ctr is not None:
        limits = {"bias": evaluation.ctr.bias, "limit_low": evaluation.ctr.low, "limit_high": evaluation.ctr.high}
        metrics |= {f"{prefix}/ctr_{name}": value for name, value in limits.items()}
    if evaluation.comparison is not None:
        for name, paired in evaluation.comparison.differences.items():
            metrics |= _name_bounds("other_minus_this", name, paired.difference, paired.low, paired.high)
        adjusted = evaluation.comparison.adjusted
        metrics |= {f"other_minus_this_p/{name}": value for name, value in adjusted.items()}
    return metrics


def _name_bounds(prefix: str, name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {f"{prefix}/{name}": value, f"{prefix}_low/{name}": low, f"{prefix}_high/{name}": high}


def _log_stress(run: Run, curves: Sequence[StressCurve]) -> None:
    """Record stress curves by ascending level: the metric's step is the level's index in `stress.json`."""
    steps: dict[int, dict[str, float]] = {}
    listed: dict[str, dict[str, Any]] = {}
    for curve in curves:
        order = sorted(range(len(curve.levels)), key=curve.levels.__getitem__)
        listed[curve.name] = {"unit": curve.unit, "levels": [curve.levels[index] for index in order]}
        for label, values in curve.dice.items():
            for step, index in enumerate(order):
                steps.setdefault(step, {})[f"stress/{curve.name}/dice_{label}"] = values[index]
    for step, metrics in sorted(steps.items()):
        run.log_metrics(metrics, step)
    if listed:
        run.log_dict(listed, "stress.json")


def _build_table(evaluation: Evaluation) -> dict[str, list[Any]]:
    """The columns of `per_case.csv`, with scores as numbers."""
    rows, scores = build_rows(evaluation), set(name_scores(evaluation.classes))
    return {
        column: [float(row[column] or math.nan) if column in scores else row[column] for row in rows]
        for column in rows[0]
    }


def _log_worst(run: Run, evaluation: Evaluation) -> None:
    """Record the worst cases as images `cases/worst_1`, ... (image, reference, prediction) and in `cases/worst.json`.

    The rank of a case without an image is skipped. The name `cases` places them first in the UI, above the charts.
    """
    ranked = rank_cases(evaluation.cases, evaluation.classes)[:NUM_WORST]
    worst = {rank: case for rank, (_, case) in enumerate(ranked, 1) if case.picture is not None}
    for rank, case in worst.items():
        run.log_image(_draw_case(case, evaluation.classes), f"cases/worst_{rank}", step=0)
    if worst:
        listed = {str(rank): {"case": case.case, **case.scores} for rank, case in worst.items()}
        run.log_dict(listed, "cases/worst.json")


def _draw_case(case: CaseResult, classes: Sequence[str]) -> NDArray[np.uint8]:
    """The strip of image, reference and prediction, with each class and its Dice below; without the case's name."""
    if case.picture is None or case.reference is None or case.prediction is None:
        raise ValueError(f"{case.case}: no image of this case was saved")
    strip = draw_strip(case.picture.astype(np.float32), case.reference, case.prediction)
    named = [f"{name} {case.scores.get(f'dice_{name}', math.nan):.3f}" for name in classes]
    return np.concatenate([strip, draw_legend(strip.shape[1], named, 16)])
