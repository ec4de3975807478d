"""What a cross-validation leaves beside its folds: how far it is, the scores over all cases, where to look."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.config import flatten, to_yaml
from medseg.data.config import DataConfig
from medseg.data.splits import RULE
from medseg.errors import ConfigError
from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.files import METRICS, PER_CASE, REPORT, build_metrics
from medseg.evaluation.per_case import CaseMeasurement
from medseg.evaluation.result import Evaluation
from medseg.evaluation.review import log_evaluation
from medseg.evaluation.summary import sum_up
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import load_models
from medseg.model.checkpoint import ANOTHER_RULE
from medseg.notice import RESEARCH_USE
from medseg.output.folder import set_aside
from medseg.tracking.run import Run
from pipelines.cross_config import CrossValidateConfig
from pipelines.cross_folds import FOLD, Fold
from pipelines.evaluate_record import tabulate_means, write_evaluation
from pipelines.train_record import name_data

STATE = "cross_validation.json"
"""The parent run, the rule that drew the folds and the configuration of the folds that stand beside it."""

_RESULTS = (STATE, "summary.json", "config.yaml", METRICS, PER_CASE, REPORT)
_ANY = (
    "output.",
    "tracking.",
    "data.cache_gib",
    "split.allow_duplicates",
    "predict.batch_size",
    "train.device",
    "train.channels_last",
    "train.compile",
    "train.strips_every",
    "train.num_strips",
    "train.save_seconds",
    "train.resume",
)
"""Settings that may change between two parts of one cross-validation: they say where, how fast and what is shown."""
_ANEW = "train.resume=false begins anew (what is there goes to earlier/)"


def find_begun(config: CrossValidateConfig, folder: Path) -> str | None:
    """The MLflow run of the cross-validation that was begun in `folder`; None for a new one.

    Raises `ConfigError` where it was begun with other settings that decide what the folds come to, or its folds were
    drawn by another rule.
    """
    if not config.train.resume or not (folder / STATE).is_file():
        return None
    try:
        begun = json.loads((folder / STATE).read_text())
        run_id, before = str(begun["run_id"]), dict(begun["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / STATE}: damaged, so that its folds cannot be gone on with; {_ANEW}") from error
    if begun.get("split") != RULE:
        raise ConfigError(
            f"{folder}: the folds of this cross-validation were drawn by an earlier rule ({ANOTHER_RULE}); {_ANEW}"
        )
    now = _describe_config(config)
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        raise ConfigError(f"{folder}: holds a cross-validation with other {', '.join(changed)}; {_ANEW}")
    return run_id


def describe_parent(config: CrossValidateConfig, data: DataConfig, begun: str | None) -> dict[str, Any]:
    """The arguments of `start_run` for the run above those of the folds."""
    name = name_data(config, data)
    return {
        "config": config.tracking.model_copy(update={"system_metrics": False}),
        "parameters": flatten(config),
        "tags": {
            "medseg.data": name,
            "medseg.synthetic": str(config.data.root is None).lower(),
            "medseg.kind": "folds",
        },
        "resume_run_id": begun,
    }


def record_begin(run: Run, config: CrossValidateConfig, folder: Path, *, fresh: bool) -> None:
    """Write and record the configuration; what an earlier cross-validation left is set aside first."""
    if fresh:
        earlier = set_aside(folder, (*_RESULTS, *(path.name for path in sorted(folder.glob("fold*")))))
        if earlier is not None:
            print(f"results of an earlier cross-validation are now in {earlier}", file=sys.stderr)
    state = {"run_id": run.id, "split": RULE, "config": _describe_config(config)}
    write_text(folder / STATE, json.dumps(state, indent=2) + "\n")
    write_text(folder / "config.yaml", to_yaml(config))
    run.log_text(to_yaml(config), "config.yaml")


def record_pooled(
    run: Run,
    config: CrossValidateConfig,
    data: DataConfig,
    folds: list[Fold],
    measured: list[CaseMeasurement],
    folder: Path,
) -> dict[str, Any]:
    """The content of `summary.json`: the scores over all cases; with tables and report, written and recorded."""
    evaluation = _pool(config, data, folds, measured)
    write_evaluation(evaluation, folder)
    metrics = build_metrics(evaluation)
    names = [name for s in evaluation.summaries for name in (s.name, f"{s.name}_ci95")]
    each = [{FOLD: fold.number, **json.loads((fold.folder / "summary.json").read_text())} for fold in folds]
    summary = {
        "run_id": run.id,
        "seconds": sum(part["seconds"] for part in each),
        "model": str(folder),
        "data": each[0]["data"],
        "cases": metrics["cases"],
        "patients": metrics["patients"],
        "test": {name: metrics[name] for name in names},
        "folds": each,
        "research_use": RESEARCH_USE,
    }
    for part in each:
        run.log_metrics({f"folds/{name}": value for name, value in part["test"].items()}, part[FOLD])
    log_evaluation(run, evaluation, folder, "test")
    run.log_dict(summary, "summary.json")
    print(_describe(summary, evaluation, run))
    return summary


def write_summary(summary: dict[str, Any], folder: Path) -> None:
    """Write `summary.json`, by whose presence all is done and recorded."""
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")


def _pool(
    config: CrossValidateConfig, data: DataConfig, folds: list[Fold], measured: list[CaseMeasurement]
) -> Evaluation:
    """All cases as one evaluation, whose model is the ensemble of the folds."""
    paths = tuple(str(fold.folder / "best.pt") for fold in folds)
    model = load_models(paths, config.tracking, ModelPredictConfig())
    classes, threshold = folds[0].splits.classes, config.predict.threshold
    evaluation = sum_up(
        measured,
        classes,
        EvaluationConfig(seed=config.seed, by=(FOLD,)),
        model=model.digest,
        data=name_data(config, data),
        subset="unseen",
    )
    note = f"each case is scored by the one of the {len(folds)} models that has not seen it, not by their ensemble"
    return replace(
        evaluation,
        warnings=[note, *evaluation.warnings],
        cut={} if threshold == "best" else dict.fromkeys(classes, threshold),
    )


def _describe_config(config: CrossValidateConfig) -> dict[str, Any]:
    """The settings that decide what the folds come to."""
    root = config.data.root
    settings = flatten(config) | {"data.root": None if root is None else str(root.resolve())}
    return {key: value for key, value in settings.items() if not key.startswith(_ANY)}


def _describe(summary: dict[str, Any], evaluation: Evaluation, run: Run) -> str:
    """What stands on the terminal at the end."""
    folder, number = Path(summary["model"]), len(summary["folds"])
    synthetic = " (synthetic phantoms, not clinical)" if summary["data"].startswith("synthetic") else ""
    return "\n".join(
        [
            f"{evaluation.data}{synthetic}: {summary['cases']} cases, each by the one of {number} models that has not "
            "seen it; means and 95 % intervals by patient",
            *tabulate_means(evaluation),
            f"report: {folder / REPORT}",
            f"model: {folder} (an ensemble of {number})",
            f"MLflow run {run.name}; to look at it: {run.ui_command}",
            summary["research_use"],
        ]
    )
