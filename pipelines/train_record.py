"""What a training leaves beside its weights: what it was trained on, how good it is, where to look."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.atomic import write_text
from medseg.config import flatten, to_yaml
from medseg.data.case import Case
from medseg.data.config import DataConfig
from medseg.data.findings import Findings, list_findings
from medseg.data.loaders import CachedCases, CachedSplits
from medseg.data.splits import Splits
from medseg.inference.backends import build_training_backend
from medseg.inference.predictor import Predictor
from medseg.inference.scoring import score_cases, search_thresholds
from medseg.model.checkpoint import load_model, store_thresholds
from medseg.output.folder import set_aside
from medseg.output.images import write_mask_png
from medseg.tracking.run import Run
from medseg.training.fit import Fitted
from pipelines.train_config import TrainConfig

if TYPE_CHECKING:
    from torch import Tensor

MASKS = ("masks/*",)
"""Folders of results below that of a training."""
RESULTS = (
    "best.pt",
    "best.previous.pt",
    "last.pt",
    "last.previous.pt",
    "summary.json",
    "config.yaml",
    "strips",
    "masks",
    "int8.pt",
    "quantization.json",
)


def describe_run(config: TrainConfig, data: DataConfig, resumed: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments of `start_run` beside the tracking section: parameters, tags and the run to continue."""
    return {
        "parameters": flatten(config),
        "tags": {"medseg.data": name_data(config, data), "medseg.synthetic": str(config.data.root is None).lower()},
        "resume_run_id": None if resumed is None else resumed["card"]["run_id"],
    }


def record_start(
    run: Run, config: TrainConfig, data: DataConfig, cached: CachedSplits, folder: Path, *, fresh: bool
) -> None:
    """Write and record the configuration and the data sets; what an earlier run left is set aside first."""
    earlier = set_aside(folder, RESULTS) if fresh else None
    if earlier is not None:
        print(f"results of an earlier run are now in {earlier}", file=sys.stderr)
    rerun = config.model_copy(update={"train": config.train.model_copy(update={"resume": False})})
    write_text(folder / "config.yaml", to_yaml(rerun))
    run.log_text(to_yaml(rerun), "config.yaml")
    for name, part in cached.items():
        context = "training" if name == "train" else name
        run.log_input(f"{name_data(config, data)}-{name}", context, _digest(part), str(data.root), len(part))
        print(f"{name}: {len(part)} cases", file=sys.stderr)


def record_findings(run: Run, findings: Findings) -> None:
    """Print the warnings of a data set, and record all that was found in it."""
    warnings, notes = findings.describe_warnings(), findings.describe_notes()
    if warnings:
        print("The data set has warnings; python -m pipelines.check_data shows the cases.", file=sys.stderr)
    for line in [*(f"warning: {text}" for text in warnings), *(f"note: {text}" for text in notes)]:
        print(f"  {line}", file=sys.stderr)
    run.log_dict({"findings": list_findings(findings.listed())}, "check.json")


def finish_run(
    run: Run,
    config: TrainConfig,
    data: DataConfig,
    splits: Splits,
    cached: CachedSplits,
    fitted: Fitted,
    folder: Path,
) -> dict[str, Any]:
    """The content of `summary.json`: the best model, scored at the original size. All of it is recorded."""
    path = folder / "best.pt"
    backend = build_training_backend(config.train)
    card, network = load_model(path)
    forwards = [backend.load(network, card.preprocess.size)]
    undecided = Predictor(card, forwards, config.predict, backend.device)
    card = store_thresholds(path, search_thresholds(undecided, splits.validation, cached.validation, data))
    predictor = Predictor(card, forwards, config.predict, backend.device)

    def keep(case: Case, masks: "Tensor") -> None:
        for name, mask in zip(splits.classes, masks.numpy(), strict=True):
            write_mask_png(folder / "masks" / name / f"{case.id}.png", mask)

    scores = {
        "validation": score_cases(predictor, splits.validation, cached.validation, data),
        "test": score_cases(predictor, splits.test, cached.test, data, keep if config.output.masks else None),
    }
    summary = {
        "run_id": run.id,
        **dataclasses.asdict(fitted),
        "model": str(path),
        "data": "synthetic phantoms, not clinical" if config.data.root is None else str(data.root),
        "cases": {name: len(part) for name, part in cached.items()},
        **scores,
        "thresholds": card.thresholds,
        "research_use": card.research_use,
    }
    run.log_metrics({f"{s}/{name}": v for s, values in scores.items() for name, v in values.items()}, 0)
    run.log_dict(summary, "summary.json")
    example = np.zeros((2, network.in_channels, *card.preprocess.size), np.float32)
    metadata = {"classes": ", ".join(card.classes), "use": card.research_use}
    run.log_model(network, example, path, metadata, config.tracking.register)
    return summary


def write_summary(summary: dict[str, Any], run: Run, folder: Path) -> None:
    """Write `summary.json`, by whose presence all is done and recorded, and say where to look."""
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    print(_describe(summary, run))


def name_data(config: TrainConfig, data: DataConfig) -> str:
    """What the data set is called in MLflow."""
    return "phantom" if config.data.root is None or data.root is None else data.root.resolve().stem


def _digest(part: CachedCases) -> str:
    """32 hex digits over what was read of every image and mask of a split."""
    digests = sorted(facts.digest + facts.label_digest for facts in part.facts)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:32]


def _describe(summary: dict[str, Any], run: Run) -> str:
    """What stands on the terminal at the end."""
    scores = summary["test"]
    per_class = ", ".join(f"{n.removeprefix('dice_')} {v:.4f}" for n, v in scores.items() if n.startswith("dice_"))
    synthetic = " (synthetic phantoms, not clinical)" if summary["data"].startswith("synthetic") else ""
    return "\n".join(
        [
            f"test Dice{synthetic}: {per_class}; mIoU {scores['miou']:.4f}",
            f"model: {summary['model']}",
            f"MLflow run {run.name}; to look at it: {run.ui_command}",
            summary["research_use"],
        ]
    )
