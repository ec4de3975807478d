"""An evaluation as files for programs: `per_case.csv`, which medseg can read again, and `metrics.json`."""

import csv
import io
import math
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from medseg.errors import DataError
from medseg.evaluation.per_case import OVERLAP, SURFACE, name_scores, write_score
from medseg.evaluation.result import CaseResult, Comparison, Evaluation, StressCurve, Summary
from medseg.metrics.measurements import MEASUREMENTS
from medseg.notice import RESEARCH_USE
from medseg.output.report import encode_path
from medseg.receipt.receipt import RECEIPT

PER_CASE = "per_case.csv"
METRICS = "metrics.json"
REPORT = "report.html"

_UNITS = {
    "area_error": "relative to the reference's area; + means too large",
    "ctr_error": "prediction minus reference",
    "ci95": "95 % interval, resampled by patient",
}


def build_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """The rows of `per_case.csv`, sorted by case; missing values are empty.

    `case` and the values of `by` are percent-encoded like the paths in `report.csv`: no spreadsheet sees a formula.
    """
    rows = []
    for case in sorted(evaluation.cases, key=lambda case: case.case):
        scores = {name: _show(case.scores[name]) for name in name_scores(evaluation.classes)}
        per_class = {name: scores.pop(name) for name in list(scores) if name.startswith((*OVERLAP, *SURFACE))}
        name = encode_path(case.case.encode())
        row = {"case": name, "patient": case.patient, **per_class, "unit": case.unit, **scores}
        row |= {f"by_{column}": encode_path(value.encode()) for column, value in case.groups.items()}
        rows.append({**row, "subset": evaluation.subset, "seen": case.seen, "digest": case.digest})
    return rows


def format_per_case(evaluation: Evaluation) -> str:
    """The text of `per_case.csv`."""
    rows, stream = build_rows(evaluation), io.StringIO()
    table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()


def read_per_case(path: Path) -> list[CaseResult]:
    """The results in a `per_case.csv`. Raises `DataError` if the file cannot be read as one."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        return [
            CaseResult(
                case=unicodedata.normalize("NFC", unquote(row["case"])),
                patient=row["patient"],
                unit=row["unit"],
                scores={name: float(text or math.nan) for name, text in row.items() if _is_score(name)},
                digest=row.get("digest", ""),
                seen=row.get("seen", ""),
            )
            for row in rows
        ]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error, AttributeError, KeyError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: not a {PER_CASE} written by medseg evaluate ({reason})") from error


def build_metrics(evaluation: Evaluation) -> dict[str, Any]:
    """The content of `metrics.json`; unknown numbers are None."""
    metrics: dict[str, Any] = {
        "model": evaluation.model,
        "backend": evaluation.backend,
        "data": evaluation.data,
        "subset": evaluation.subset,
        "cases": len(evaluation.cases),
        "patients": len({case.patient for case in evaluation.cases}),
        "left_out": evaluation.left_out,
        "seen": sum(bool(case.seen) for case in evaluation.cases),
        "classes": list(evaluation.classes),
        "unit": evaluation.unit,
        "spacing": dict(evaluation.spacing),
        "threshold": dict(evaluation.cut),
        **_flatten(evaluation.summaries),
        "missing": {summary.name: summary.missing for summary in evaluation.summaries if summary.missing},
    }
    if evaluation.ctr is not None:
        metrics["ctr_bias"] = evaluation.ctr.bias
        metrics["ctr_limits"] = [evaluation.ctr.low, evaluation.ctr.high]
    metrics |= {f"calibration_error_{name}": curve.error for name, curve in evaluation.calibration.items()}
    metrics["best_threshold"] = {
        name: {"threshold": best, "dice": at_best, "dice_at_0.5": at_half}
        for name, (best, at_best, at_half) in evaluation.thresholds.items()
    }
    metrics["by"] = {
        column: {value: {"cases": found[0].count, **_flatten(found)} for value, found in groups.items()}
        for column, groups in evaluation.by.items()
    }
    metrics["stress"] = {curve.name: _describe_curve(curve) for curve in evaluation.stress}
    if evaluation.comparison is not None:
        metrics["comparison"] = _describe_comparison(evaluation.comparison)
    metrics |= {
        "warnings": list(evaluation.warnings),
        "seconds": round(evaluation.seconds, 3),
        "units": {"surface distances": evaluation.unit, **_UNITS},
        **({} if evaluation.receipt is None else {RECEIPT: evaluation.receipt.to_json()}),
        "research_use": RESEARCH_USE,
    }
    cleaned: dict[str, Any] = _clean(metrics)
    return cleaned


def _flatten(summaries: Iterable[Summary]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for summary in summaries:
        found[summary.name] = summary.mean
        found[f"{summary.name}_ci95"] = [summary.interval.low, summary.interval.high]
    return found


def _describe_curve(curve: StressCurve) -> dict[str, Any]:
    dice = {f"dice_{name}": list(values) for name, values in curve.dice.items()}
    return {"unit": curve.unit, "levels": list(curve.levels), "cases": curve.cases, **dice}


def _describe_comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "other": comparison.other,
        "cases": comparison.cases,
        "patients": comparison.patients,
        "differences": {
            name: {
                "difference": paired.difference,
                "ci95": [paired.low, paired.high],
                "p": paired.p_value,
                "p_holm": comparison.adjusted[name],
            }
            for name, paired in comparison.differences.items()
        },
        "moved": [list(row) for row in comparison.moved],
    }


def _clean(value: Any) -> Any:
    """The value with every non-finite number replaced by None, since JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value


def _is_score(name: str) -> bool:
    metrics = (*OVERLAP, *SURFACE, "area_error", *(each.name for each in MEASUREMENTS))
    return name.startswith(tuple(f"{metric}_" for metric in metrics))


def _show(value: float) -> str:
    return write_score(value) if math.isfinite(value) else ""
