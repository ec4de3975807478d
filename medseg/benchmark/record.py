"""Results of a benchmark: benchmark.json, benchmark.png and an MLflow run."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from medseg.atomic import open_atomically, write_text
from medseg.benchmark.chart import draw_chart
from medseg.benchmark.contest import Contest
from medseg.benchmark.machine import describe_machine, describe_versions, name_machine
from medseg.benchmark.recipe import BenchmarkRecipe
from medseg.config import flatten, to_yaml
from medseg.notice import RESEARCH_USE
from medseg.tracking.config import TrackingConfig
from medseg.tracking.run import Run

_FIGURES = ("rate", "gflops", "fraction_of_limit", "fraction_of_bf16", "ratio_to_nothing_saved")


def describe_benchmark(recipe: BenchmarkRecipe, tracking: TrackingConfig) -> dict[str, Any]:
    """The arguments of `start_run`."""
    root = recipe.data.root
    return {
        "config": tracking.model_copy(update={"run_name": tracking.run_name or "benchmark"}),
        "parameters": flatten(recipe),
        "tags": {"medseg.data": "phantom" if root is None else root.resolve().stem},
    }


def record_benchmark(
    run: Run, recipe: BenchmarkRecipe, device: torch.device, contests: Sequence[Contest], folder: Path
) -> str:
    """Write and record all figures; returns a text for the terminal with their location."""
    machine = describe_machine(device)
    report = {
        "hardware": machine,
        "versions": describe_versions(),
        "comparisons": [contest.to_dict() for contest in contests],
        "config": recipe.model_dump(mode="json"),
        "run_id": run.id,
        "research_use": RESEARCH_USE,
    }
    write_text(folder / "benchmark.json", json.dumps(report, indent=2) + "\n")
    with open_atomically(folder / "benchmark.png") as file:
        draw_chart(contests, name_machine(machine)).savefig(file, format="png")
    run.log_text(to_yaml(recipe), "config.yaml")
    run.log_metrics({name: value for contest in contests for name, value in name_figures(contest).items()}, 0)
    for name in ("benchmark.json", "benchmark.png"):
        run.log_file(folder / name)
    found = f"figures: {folder / 'benchmark.json'}\nchart: {folder / 'benchmark.png'}"
    return f"{found}\nMLflow run {run.name}; to look at it: {run.ui_command}\n{RESEARCH_USE}"


def name_figures(contest: Contest) -> dict[str, float]:
    """The figures of all timed rows by their name in MLflow: `<part>/<title>/<row>/<figure>`, without spaces."""
    found: dict[str, float | None] = {}
    for row in contest.to_dict()["rows"]:
        if "seconds" in row:
            ratio = "ratio_at_least" if row["ratio_is_a_lower_bound"] else "ratio"
            figures = {"seconds": row["seconds"]["median"], ratio: row["ratio"]}
            figures |= {name: row.get(name) for name in _FIGURES}
            figures |= {f"share_{name}": share for name, share in row.get("shares", {}).items()}
            figures |= {f"dice_{name}": dice for name, dice in row.get("dice", {}).items()}
            place = f"{contest.part}/{slug(contest.title)}/{slug(row['name'])}"
            found |= {f"{place}/{name}": value for name, value in figures.items()}
    return {name: value for name, value in found.items() if value is not None}


def slug(text: str) -> str:
    """`text` with hyphens in place of characters unsuitable for file names or metrics."""
    return re.sub(r"[^\w.]+", "-", text).strip("-")
