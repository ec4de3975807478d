"""The results of an evaluation: its files, and the text on the terminal."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.data.synthetic import SYNTHETIC
from medseg.evaluation.files import METRICS, PER_CASE, REPORT, build_metrics, format_per_case
from medseg.evaluation.result import Evaluation, Summary
from medseg.notice import RESEARCH_USE
from medseg.report.page import write_page
from medseg.tracking.run import Run


@dataclass(frozen=True)
class Evaluated:
    """An evaluation whose files are written."""

    evaluation: Evaluation
    """Everything that was measured: cases, means, intervals, comparison."""
    folder: Path
    """The folder of `metrics.json`, `per_case.csv` and `report.html`."""

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of `metrics.json`: `dice_<class>`, `dice_<class>_ci95` and so on."""
        return build_metrics(self.evaluation)

    @property
    def report(self) -> Path:
        """The page to read and to send."""
        return self.folder / REPORT

    def describe(self) -> str:
        """The means with their intervals for a terminal, and where the report is."""
        evaluation = self.evaluation
        return "\n".join(
            [
                f"{evaluation.data}: {_describe_cases(evaluation)}; means and 95 % intervals by patient",
                *_tabulate_means(evaluation),
                *_describe_comparison(evaluation),
                f"report: {self.report}",
                RESEARCH_USE,
            ]
        )


@dataclass(frozen=True)
class CrossValidated(Evaluated):
    """A finished cross-validation. Each case was scored by the network that has not seen it."""

    summary: dict[str, Any]
    """The content of `summary.json`."""
    run: Run

    def describe(self) -> str:
        """The means with their intervals for a terminal, where the model is, and how to open the MLflow run."""
        number, evaluation = len(self.summary["folds"]), self.evaluation
        synthetic = f" ({SYNTHETIC})" if self.summary["data"] == SYNTHETIC else ""
        return "\n".join(
            [
                f"{evaluation.data}{synthetic}: {self.summary['cases']} cases, each scored by the model that has not "
                f"seen it ({number} models); means and 95 % intervals by patient",
                *_tabulate_means(evaluation),
                f"report: {self.report}",
                f"model: {self.folder} (an ensemble of {number} networks)",
                f"MLflow run {self.run.name}; to open it: {self.run.ui_command}",
                RESEARCH_USE,
            ]
        )


def write_evaluation(evaluation: Evaluation, folder: Path) -> Evaluated:
    """Write `per_case.csv`, `report.html` and, last, `metrics.json`, which shows that all files are complete."""
    write_text(folder / PER_CASE, format_per_case(evaluation))
    write_page(evaluation, folder / REPORT)
    write_text(folder / METRICS, json.dumps(build_metrics(evaluation), indent=2, allow_nan=False) + "\n")
    return Evaluated(evaluation, folder)


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
    left_out = f", {evaluation.left_out} others left out" if evaluation.left_out else ""
    return f"{number} cases that the model was not trained or validated on{left_out}"


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
