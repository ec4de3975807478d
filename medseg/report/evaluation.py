"""The results of an evaluation: its files, and the text on the terminal."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.data.synthetic import SYNTHETIC
from medseg.evaluation.files import METRICS, PER_CASE, REPORT, build_metrics, format_per_case
from medseg.evaluation.result import Evaluation, Summary
from medseg.notice import RESEARCH_USE
from medseg.report.page import write_page
from medseg.tracking.run import Run


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write `per_case.csv`, `report.html` and, last, `metrics.json`: if that is there, all three are."""
    write_text(folder / PER_CASE, format_per_case(evaluation))
    write_page(evaluation, folder / REPORT)
    write_text(folder / METRICS, json.dumps(build_metrics(evaluation), indent=2, allow_nan=False) + "\n")


def describe_evaluation(evaluation: Evaluation, folder: Path) -> str:
    """The means with their intervals, and the path of the report."""
    return "\n".join(
        [
            f"{evaluation.data}: {_describe_cases(evaluation)}; means and 95 % intervals by patient",
            *_tabulate_means(evaluation),
            *_describe_comparison(evaluation),
            f"report: {folder / REPORT}",
            RESEARCH_USE,
        ]
    )


def describe_cross_validation(evaluation: Evaluation, summary: Mapping[str, Any], run: Run) -> str:
    """The means with their intervals, the path of the model, and the command that shows the run."""
    folder, number = Path(summary["model"]), len(summary["folds"])
    synthetic = f" ({SYNTHETIC})" if summary["data"] == SYNTHETIC else ""
    return "\n".join(
        [
            f"{evaluation.data}{synthetic}: {summary['cases']} cases, each scored by the one of {number} models that "
            "was not trained on it; means and 95 % intervals by patient",
            *_tabulate_means(evaluation),
            f"report: {folder / REPORT}",
            f"model: {folder} (an ensemble of {number})",
            f"MLflow run {run.name}; to look at it: {run.ui_command}",
            RESEARCH_USE,
        ]
    )


def _tabulate_means(evaluation: Evaluation) -> list[str]:
    """A table of means with their intervals: a line per class, one for their mean and one for the mIoU."""
    unit = evaluation.unit
    by_name = {summary.name: summary for summary in evaluation.summaries}
    columns = {"dice": "Dice", "iou": "IoU", "hd95": f"HD95 {unit}", "assd": f"ASSD {unit}", "nsd": "NSD"}
    rows = [["", *columns.values()]]
    rows += [[name, *(_show(by_name[f"{metric}_{name}"]) for metric in columns)] for name in evaluation.classes]
    rows.append(["mean over classes", _show(by_name["dice"]), _show(by_name["iou"])])
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(columns) + 1)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return [*table, f"mIoU {_show(by_name['miou'])}"]


def _describe_cases(evaluation: Evaluation) -> str:
    number = len(evaluation.cases)
    if evaluation.subset == "all":
        seen = sum(bool(case.seen) for case in evaluation.cases)
        return f"all {number} cases, {seen} of which the model was trained or validated on (data.subset=all)"
    return f"{number} cases, without {evaluation.left_out} that the model was trained or validated on"


def _describe_comparison(evaluation: Evaluation) -> list[str]:
    """A line per class: Dice of the other model minus Dice of this one."""
    found, lines = evaluation.comparison, []
    for name in evaluation.classes if found is not None else ():
        if found is not None and (paired := found.differences.get(f"dice_{name}")) is not None:
            shown = f"{paired.difference:+.4f} [{paired.low:+.4f}, {paired.high:+.4f}]"
            p_value = found.adjusted[f"dice_{name}"]
            lines.append(f"{found.other} minus this model, Dice of {name}: {shown}, p {p_value:.3g}")
    return lines


def _show(summary: Summary) -> str:
    if math.isnan(summary.mean):
        return "-"
    digits = 2 if summary.name.startswith(("hd95", "assd")) else 4
    low, high = summary.interval.low, summary.interval.high
    interval = "" if math.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{summary.mean:.{digits}f}{interval}"
