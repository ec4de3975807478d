"""The facts of a training that its model card (card.md) tells."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from medseg.data.case import Case
from medseg.data.cases import count_sites, name_layout
from medseg.data.config import DataConfig, SplitConfig
from medseg.data.loaders import CachedSplits, CaseFacts
from medseg.data.splits import Splits, name_patients
from medseg.metrics.statistics import Interval
from medseg.output.card import DataFacts, Score, Scored, TrainingFacts
from medseg.phantom.generated import MARKER
from medseg.receipt.receipt import Receipt
from medseg.training.config import AUTO
from medseg.training.recipe import Recipe
from medseg.training.record import name_data

Means = Mapping[str, float]
Intervals = Mapping[str, Interval]


def describe_training(
    recipe: Recipe,
    data: DataFacts,
    parts: Sequence[Scored],
    receipt: Receipt,
    length: str,
    split: str,
) -> TrainingFacts:
    """The facts of a finished training. `length` is a sentence on how long it was, `split` one on its split."""
    optim, train = recipe.optim, recipe.train
    return TrainingFacts(
        data=data,
        parts=parts,
        split=split,
        start=_describe_start(recipe, receipt.origin),
        budget=[
            f"Budget: {_describe_budget(recipe)}. {length}",
            f"Batch size {train.batch_size}, optimizer {optim.name}, learning rate {optim.learning_rate:g}, "
            f"loss {recipe.loss.name}, seed {recipe.seed}",
            f"Random augmentation of the images: {'yes' if recipe.augment.probability else 'no'}",
        ],
        code=receipt.code,
        environment=receipt.environment,
    )


def describe_data(recipe: Recipe, data: DataConfig, splits: Splits, cached: CachedSplits) -> DataFacts:
    """The facts of the data set of a training."""
    cases = [case for _, part in splits.items() for case in part]
    return describe_cases(recipe, data, cases, [facts for _, part in cached.items() for facts in part.facts])


def describe_cases(recipe: Recipe, data: DataConfig, cases: Sequence[Case], read: Sequence[CaseFacts]) -> DataFacts:
    """The facts of a data set. `read` has what was read of the `cases`."""
    sizes = [facts.frame.size for facts in read]
    rows, columns = zip(*sizes, strict=True)
    return DataFacts(
        name=name_data(recipe, data),
        layout=name_layout(Path(data.root or ""), cases),
        is_synthetic=recipe.data.root is None or (Path(data.root or "") / MARKER).exists(),
        cases=len(cases),
        patients=len(set(list_patients(recipe, cases))),
        rows=(min(rows), max(rows)),
        columns=(min(columns), max(columns)),
        sites=count_sites(cases),
    )


def list_patients(recipe: Recipe, cases: Sequence[Case]) -> list[str]:
    """The patient of each case, as the split counts them. Never written anywhere."""
    return [case.patient for case in name_patients(cases, recipe.split)]


def join_scores(means: Means, intervals: Intervals) -> dict[str, Score]:
    """Means with their intervals."""
    return {name: Score(mean, intervals[name]) for name, mean in means.items()}


def list_intervals(intervals: Intervals) -> dict[str, list[float | None]]:
    """Intervals as plain values; None for an unknown end."""
    return {
        name: [None if math.isnan(end) else end for end in (found.low, found.high)] for name, found in intervals.items()
    }


def describe_split(recipe: Recipe, rule: str | None, left_out: int = 0) -> str:
    """Sentences on how the cases were split; `rule` as in `Splits`. `left_out` test cases do not count."""
    seen = f"Test cases that the model of train.init has seen do not count: {left_out}. " if left_out else ""
    if rule is None:
        return f"{seen}The data set itself gives the split:"
    split = recipe.split
    order, told = describe_order(split)
    how = f"{seen}{order}, and divided into blocks"
    if split.folds is None:
        shares = ", ".join(f"{100 * share:g} %" for share in split.fractions)
        return f"{how} ({shares}). {told}:"
    return f"{how}: fold {split.fold} (counted from 0) of {split.folds} is the test set. {told}:"


def describe_order(split: SplitConfig) -> tuple[str, str]:
    """How the cases were ordered before they were divided, and what this means for patients; without full stops."""
    how = f"were ordered by a hash of seed {split.seed} and their"
    if split.patients == "image":
        return f"Images {how} name", "Images of one patient may be in two sets, and the intervals may be too narrow"
    return f"Patients {how} ID", "No patient is in two sets"


def _describe_start(recipe: Recipe, origin: str | None) -> str:
    if origin is None:
        return "The training started from random weights."
    if recipe.train.init == AUTO:
        return (
            f"The training started from the start weights of medseg (model `{origin}`). They have seen synthetic "
            "phantoms only, no patient, and have the license of medseg, Apache-2.0."
        )
    return (
        f"The training started from the model `{origin}`. The terms of the data of that model apply to these "
        "weights, too; its own card may tell them."
    )


def _describe_budget(recipe: Recipe) -> str:
    train = recipe.train
    known = {"epochs": train.num_epochs, "minutes": train.minutes, "TFLOP of the network": train.tflop}
    given = [f"{value:g} {name}" for name, value in known.items() if value is not None]
    return f"{' or '.join(given)}{', whichever ends first' if len(given) > 1 else ''}"
