"""Records made before the first step of a training: the configuration, the data sets and the findings in them."""

import hashlib
import logging
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.config import flatten
from medseg.data.case import as_text
from medseg.data.config import DataConfig
from medseg.data.findings import Findings, list_findings
from medseg.data.loaders import CachedCases, CachedSplits
from medseg.output.folder import set_aside
from medseg.tracking.run import Run
from medseg.training.recipe import Recipe, write_recipe
from medseg.training.restart import note_launcher
from medseg.training.resume import Resumed

MASKS = ("masks/*",)
"""Patterns of the folders with results inside the output folder of a training."""

_RESULTS = (
    "best.pt",
    "best.previous.pt",
    "last.pt",
    "last.previous.pt",
    "summary.json",
    "card.md",
    "config.yaml",
    "strips",
    "masks",
    "int8.pt",
    "quantization.json",
)
_logger = logging.getLogger(__name__)


def describe_run(recipe: Recipe, data: DataConfig, resumed: Resumed | None, num_processes: int = 1) -> dict[str, Any]:
    """Arguments of `start_run` in addition to the tracking section: parameters, tags and the run to resume."""
    tags = {"medseg.data": name_data(recipe, data), "medseg.synthetic": str(recipe.data.root is None).lower()}
    return {
        "parameters": flatten(recipe),
        "tags": tags | ({"medseg.processes": str(num_processes)} if num_processes > 1 else {}),
        "resume_run_id": None if resumed is None else resumed.card.run_id,
    }


def record_start(
    run: Run, recipe: Recipe, data: DataConfig, cached: CachedSplits, folder: Path, *, fresh: bool
) -> None:
    """Write and record the configuration and the data sets.

    Earlier results are moved aside first if `fresh`; else only what marks the training as finished is removed.
    """
    earlier = set_aside(folder, _RESULTS) if fresh else None
    if earlier is not None:
        _logger.info("moved the results of an earlier run to %s", earlier)
    for name in ("summary.json", "card.md"):
        (folder / name).unlink(missing_ok=True)
    rerun = write_recipe(recipe)
    write_text(folder / "config.yaml", rerun)
    note_launcher(folder)
    run.log_text(rerun, "config.yaml")
    for name, part in cached.items():
        if not len(part):  # a trial of a sweep has no test cases
            continue
        context = "training" if name == "train" else name
        run.log_input(f"{name_data(recipe, data)}-{name}", context, _digest(part), as_text(data.root), len(part))
        _logger.info("%s: %d cases", name, len(part))


def record_findings(run: Run, findings: Findings) -> None:
    """Log the warnings and notes on a data set, and record all findings."""
    warnings, notes = findings.describe_warnings(), findings.describe_notes()
    if warnings:
        _logger.warning("The data set has warnings. To see the cases, run medseg check.")
    for text in warnings:
        _logger.warning("  warning: %s", text)
    for text in notes:
        _logger.info("  note: %s", text)
    run.log_dict({"findings": list_findings(findings.listed())}, "check.json")


def name_data(recipe: Recipe, data: DataConfig) -> str:
    """The name of the data set in MLflow."""
    return "phantom" if recipe.data.root is None or data.root is None else Path(as_text(data.root)).resolve().stem


def _digest(part: CachedCases) -> str:
    """32 hex digits of a hash over all images and masks of a split, as they were read."""
    digests = sorted(facts.digest + facts.label_digest for facts in part.facts)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:32]
