"""What a benchmark leaves: benchmark.json, benchmark.png, an MLflow run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg.atomic import open_atomically, write_text
from medseg.benchmark.chart import draw_chart
from medseg.benchmark.hardware import describe_hardware, describe_versions, name_machine
from medseg.benchmark.result import Comparison, Row, slug
from medseg.benchmark.subject import Subject
from medseg.benchmark.training import UNSAVED_RATIO
from medseg.config import flatten, to_yaml
from medseg.notice import RESEARCH_USE
from medseg.tracking.run import Run
from pipelines.benchmark_config import BenchmarkConfig


def describe_run(config: BenchmarkConfig) -> dict[str, Any]:
    """The arguments of `start_run`."""
    name = config.tracking.run_name or "benchmark"
    return {
        "config": config.tracking.model_copy(update={"run_name": name}),
        "parameters": flatten(config),
        "tags": {"medseg.data": "phantom" if config.data.root is None else config.data.root.resolve().stem},
    }


def record_benchmark(
    run: Run, config: BenchmarkConfig, subject: Subject, comparisons: Sequence[Comparison], folder: Path
) -> None:
    """Write and record all figures, and say where they are."""
    hardware = describe_hardware(subject.device)
    report = {
        "hardware": hardware,
        "versions": describe_versions(),
        "comparisons": [comparison.to_dict() for comparison in comparisons],
        "config": config.model_dump(mode="json"),
        "run_id": run.id,
        "research_use": RESEARCH_USE,
    }
    write_text(folder / "benchmark.json", json.dumps(report, indent=2) + "\n")
    figure = draw_chart(comparisons, name_machine(hardware))
    with open_atomically(folder / "benchmark.png") as file:
        figure.savefig(file, format="png")
    run.log_text(to_yaml(config), "config.yaml")
    run.log_metrics(_list_metrics(comparisons), 0)
    for name in ("benchmark.json", "benchmark.png"):
        run.log_file(folder / name)
    print(f"figures: {folder / 'benchmark.json'}\nchart: {folder / 'benchmark.png'}")
    print(f"MLflow run {run.name}; to look at it: {run.ui_command}\n{RESEARCH_USE}")


def _list_metrics(comparisons: Sequence[Comparison]) -> dict[str, float]:
    """As `prediction/width-64-512-x-512/openvino-cpu-bf16/ratio`."""
    return {
        f"{comparison.part}/{comparison.key}/{slug(row.name)}/{name}": value
        for comparison in comparisons
        for row in comparison.rows
        for name, value in _list_figures(comparison, row).items()
    }


def _list_figures(comparison: Comparison, row: Row) -> dict[str, float]:
    if row.times is None:
        return {}
    figures = {
        "seconds": row.times.median,
        "rate": 1 / row.times.median,
        "gflops": row.gflops,
        "fraction_of_limit": comparison.fraction(row),
        "fraction_of_bf16": comparison.fraction_of_bf16(row),
        "ratio_at_least" if comparison.is_bound else "ratio": comparison.ratio(row),
        UNSAVED_RATIO: row.details.get(UNSAVED_RATIO),
        **{f"share_{name}": share for name, share in row.details.get("shares", {}).items()},
        **{f"dice_{name}": dice for name, dice in row.details.get("dice", {}).items()},
    }
    return {name: value for name, value in figures.items() if value is not None}
