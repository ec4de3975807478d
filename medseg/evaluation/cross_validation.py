"""A cross-validation as a whole: the record of its settings, and the scores over all cases."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.config import flatten
from medseg.data.case import CaseSet
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.splits import RULE
from medseg.errors import ConfigError
from medseg.evaluation.begun import ANEW, read_begun
from medseg.evaluation.card import describe_folds
from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.files import METRICS, PER_CASE, REPORT, build_metrics, format_per_case
from medseg.evaluation.folds import FOLD, Fold, measure_folds
from medseg.evaluation.result import Evaluation
from medseg.evaluation.review import log_evaluation
from medseg.evaluation.summary import sum_up
from medseg.hardware.device import Hardware
from medseg.inference.backends import build_training_backend
from medseg.inference.models import digest_networks, load_models
from medseg.notice import RESEARCH_USE
from medseg.output.card import CARD, DataFacts, format_card
from medseg.output.folder import set_aside
from medseg.receipt import digests
from medseg.receipt.receipt import RECEIPT, Receipt, build_receipt
from medseg.tracking.run import Run
from medseg.training.receipt import digest_recipe
from medseg.training.recipe import Recipe, list_deciding, write_recipe
from medseg.training.record import name_data, record_findings
from medseg.training.resume import ANOTHER_RULE

STATE = "cross_validation.json"
"""File with the parent run, the split rule and the configuration of the folds in the same folder."""

_RESULTS = (STATE, "summary.json", "config.yaml", METRICS, PER_CASE, REPORT, CARD)
_logger = logging.getLogger(__name__)


def find_begun(recipe: Recipe, folder: Path) -> str | None:
    """The MLflow run id of the cross-validation to resume in `folder`; None for a new one.

    Raises `ConfigError` if settings that affect the result have changed, or if the folds were drawn by another rule.
    """
    begun = read_begun(folder / STATE, _describe_settings(recipe), "cross-validation") if recipe.train.resume else None
    if begun is None:
        return None
    if begun.get("split") != RULE:
        raise ConfigError(
            f"{folder}: the folds of this cross-validation were formed with the method of an earlier version of medseg "
            f"({ANOTHER_RULE}). {ANEW}"
        )
    return str(begun["run_id"])


def describe_parent(recipe: Recipe, data: DataConfig, begun: str | None) -> dict[str, Any]:
    """The arguments of `start_run` for the parent run of the folds."""
    name = name_data(recipe, data)
    return {
        "config": recipe.tracking.model_copy(update={"system_metrics": False}),
        "parameters": flatten(recipe),
        "tags": {
            "medseg.data": name,
            "medseg.synthetic": str(recipe.data.root is None).lower(),
            "medseg.kind": "folds",
        },
        "resume_run_id": begun,
    }


def record_begin(run: Run, recipe: Recipe, findings: Findings, folder: Path, *, fresh: bool) -> None:
    """Write and record the configuration and `findings`; if `fresh`, first move earlier results away."""
    if fresh:
        earlier = set_aside(folder, (*_RESULTS, *(path.name for path in sorted(folder.glob("fold*")))))
        if earlier is not None:
            _logger.info("moved the results of an earlier cross-validation to %s", earlier)
    state = {"run_id": run.id, "split": RULE, "config": _describe_settings(recipe)}
    write_text(folder / STATE, json.dumps(state, indent=2) + "\n")
    write_text(folder / "config.yaml", write_recipe(recipe))
    run.log_text(write_recipe(recipe), "config.yaml")
    record_findings(run, findings)


def pool_folds(
    recipe: Recipe, data: DataConfig, hardware: Hardware, folds: Sequence[Fold], found: CaseSet
) -> Evaluation:
    """One evaluation of all cases, each scored by the model not trained on it; `model` is the ensemble's digest."""
    measured = measure_folds(folds, found, data, hardware)
    model = load_models(_list_models(folds), recipe.tracking)
    classes, threshold = folds[0].splits.classes, recipe.predict.threshold
    evaluation = sum_up(
        measured,
        classes,
        EvaluationConfig(seed=recipe.seed, by=(FOLD,)),
        model=model.digest,
        data=name_data(recipe, data),
        subset="unseen",
    )
    note = f"each case is scored by the model that was not trained on it, not by the ensemble of {len(folds)} models"
    return replace(
        evaluation,
        warnings=[note, *evaluation.warnings],
        cut={} if threshold == "best" else dict.fromkeys(classes, threshold),
    )


def write_card(
    run: Run,
    recipe: Recipe,
    data: DataFacts,
    hardware: Hardware,
    evaluation: Evaluation,
    folds: Sequence[Fold],
    folder: Path,
) -> Receipt:
    """Write the model card of the ensemble of all folds, and return the receipt of the cross-validation."""
    model = load_models(_list_models(folds), recipe.tracking)
    each = [json.loads((fold.folder / "summary.json").read_text()) for fold in folds]
    receipts = [Receipt.from_json(part[RECEIPT]) for part in each if RECEIPT in part]
    whole = len(receipts) == len(folds)  # an earlier version may have trained some folds
    receipt = build_receipt(
        "cross-validation",
        configuration=digest_recipe(recipe),
        backend=build_training_backend(hardware).name,
        data=receipts[0].data if whole and len({one.data for one in receipts}) == 1 else None,
        split=digests.Fold(one.split or "" for one in receipts).digest() if whole else None,
        weights=digest_networks(model),
        origin=model.card.origin,
        results=hashlib.sha256(format_per_case(evaluation).encode()).hexdigest(),
    )
    facts = describe_folds(recipe, data, each, evaluation, receipt)
    card = model.card.model_copy(update={"run_id": run.id})
    write_text(folder / CARD, format_card(card, model.digest, len(model.networks), facts))
    return receipt


def record_pooled(
    run: Run, evaluation: Evaluation, folds: Sequence[Fold], folder: Path, receipt: Receipt
) -> dict[str, Any]:
    """Record the evaluation and the files in `folder`; returns the content of `summary.json`, scores over all cases."""
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
        RECEIPT: receipt.to_json(),
        "research_use": RESEARCH_USE,
    }
    for part in each:
        run.log_metrics({f"folds/{name}": value for name, value in part["test"].items()}, part[FOLD])
    log_evaluation(run, evaluation, folder, "test")
    run.log_dict(summary, "summary.json")
    return summary


def _list_models(folds: Sequence[Fold]) -> tuple[str, ...]:
    return tuple(str(fold.folder / "best.pt") for fold in folds)


def _describe_settings(recipe: Recipe) -> dict[str, Any]:
    """The settings that decide the result of the folds."""
    root = recipe.data.root
    return list_deciding(recipe) | {"data.root": None if root is None else str(root.resolve())}
