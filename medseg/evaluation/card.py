"""The model card of an evaluation: the card of the training, and a section on what was measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from medseg.errors import MedsegError
from medseg.evaluation.result import Evaluation, StressCurve, Summary
from medseg.inference.models import LoadedModel
from medseg.output.card import (
    CARD,
    DataFacts,
    EvaluationFacts,
    Score,
    Scored,
    StressRow,
    TrainingFacts,
    add_evaluation,
    format_card,
    is_card_of,
)
from medseg.receipt.receipt import Receipt
from medseg.tracking.artifacts import download_file
from medseg.tracking.config import StoreConfig
from medseg.training.facts import describe_order, describe_training
from medseg.training.recipe import Recipe


def complete_card(evaluation: Evaluation, addresses: Sequence[str], model: LoadedModel, tracking: StoreConfig) -> str:
    """The card of the model's training with a section on `evaluation`. The training's own file stays as it is.

    If that card is not found beside the model or in MLflow, it is a card of what the model file knows.
    """
    found = _find_card(addresses, model, tracking)
    own = format_card(model.card, model.digest, len(model.networks), None) if found is None else found
    return add_evaluation(own, describe_evaluation(evaluation))


def describe_folds(
    recipe: Recipe, data: DataFacts, folds: Sequence[Mapping[str, Any]], evaluation: Evaluation, receipt: Receipt
) -> TrainingFacts:
    """The facts of a cross-validation. `folds` are the contents of `summary.json` of its folds."""
    epochs = [int(fold["epochs"]) for fold in folds]
    scores = gather_scores(evaluation.summaries)
    order, told = describe_order(recipe.split)
    return describe_training(
        recipe,
        data,
        [Scored("pooled test", len(evaluation.cases), _count_patients(evaluation), scores)],
        receipt,
        f"Epochs of each fold: {', '.join(map(str, epochs))}",
        f"{order}, and divided into {len(folds)} folds. Each fold is the test set of one network. {told}. The scores "
        "below are of these networks, not of the ensemble:",
    )


def describe_evaluation(evaluation: Evaluation) -> EvaluationFacts:
    """The facts of an evaluation that a card tells. Warnings are not among them, because they name cases."""
    seen, number = sum(bool(case.seen) for case in evaluation.cases), len(evaluation.cases)
    which = f"Only cases that the model was not trained or validated on; {evaluation.left_out} were left out."
    if evaluation.subset == "all":
        which = f"All {number} cases; the model was trained or validated on {seen} of them."
    notes = [] if seen == 0 else ["Scores on cases that the model has seen are too good."]
    if (ctr := evaluation.ctr) is not None:
        notes.append(
            f"Cardiothoracic ratio, prediction minus reference: bias {ctr.bias:+.3f}, limits of agreement "
            f"{_show(ctr.low)} to {_show(ctr.high)}."
        )
    return EvaluationFacts(
        data=evaluation.data,
        model=evaluation.model,
        scored=Scored("evaluation", number, _count_patients(evaluation), gather_scores(evaluation.summaries)),
        which=which,
        classes=evaluation.classes,
        unit=evaluation.unit,
        thresholds=evaluation.cut,
        backend=evaluation.backend,
        missing={summary.name: summary.missing for summary in evaluation.summaries},
        groups=_describe_groups(evaluation),
        stress=[_find_worst(curve) for curve in evaluation.stress],
        stress_cases=max((curve.cases for curve in evaluation.stress), default=0),
        notes=notes,
    )


def gather_scores(summaries: Sequence[Summary]) -> dict[str, Score]:
    """Each mean with its interval, by name of the metric."""
    return {summary.name: Score(summary.mean, summary.interval) for summary in summaries}


def _find_card(addresses: Sequence[str], model: LoadedModel, tracking: StoreConfig) -> str | None:
    for path in _list_places(addresses, model, tracking):
        with suppress(OSError, UnicodeDecodeError):
            text = path.read_text(encoding="utf-8")
            if is_card_of(text, model.digest) or (model.card.quantization and f"`{model.card.run_id}`" in text):
                return text
    return None


def _list_places(addresses: Sequence[str], model: LoadedModel, tracking: StoreConfig) -> Iterator[Path]:
    """The files that may be the card: beside the model, in its folder, or in the MLflow run of its training."""
    if len(addresses) == 1 and Path(addresses[0]).exists():
        path = Path(addresses[0])
        yield (path if path.is_dir() else path.parent) / CARD
    elif len(addresses) == 1 and model.card.run_id is not None:
        with suppress(MedsegError):  # a run of an earlier version has no card
            yield download_file(f"runs:/{model.card.run_id}/{CARD}", tracking)


def _count_patients(evaluation: Evaluation) -> int:
    return len({case.patient for case in evaluation.cases})


def _describe_groups(evaluation: Evaluation) -> Mapping[str, Mapping[str, Scored]]:
    groups: dict[str, dict[str, Scored]] = {}
    for column, values in evaluation.by.items():
        for value, summaries in values.items():
            cases = [case for case in evaluation.cases if case.groups.get(column) == value]
            patients = len({case.patient for case in cases})
            groups.setdefault(column, {})[value] = Scored(value, len(cases), patients, gather_scores(summaries))
    return groups


def _find_worst(curve: StressCurve) -> StressRow:
    worst = {}
    for name, values in curve.dice.items():
        known = [(value, level) for value, level in zip(values, curve.levels, strict=True) if math.isfinite(value)]
        lowest, level = min(known, default=(math.nan, 0.0))
        worst[name] = (values[0], lowest, level)
    return StressRow(curve.name, curve.unit, worst)


def _show(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.3f}"
