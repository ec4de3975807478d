"""The folds of a cross-validation: one training per fold; each case is scored by the model not trained on it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from medseg.checks.items import summarize_item
from medseg.checks.run import check_set, check_splits
from medseg.data.case import CaseSet
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.loaders import CaseFacts, cache_cases
from medseg.data.splits import Splits, name_patients, split_by_patient
from medseg.errors import CheckpointError, ConfigError
from medseg.evaluation.candidate import ReadCase, build_candidate, map_cases
from medseg.evaluation.evaluate import number_patients
from medseg.evaluation.per_case import CaseMeasurement, measure_case
from medseg.hardware.device import Hardware
from medseg.inference.backends import build_training_backend
from medseg.inference.models import load_models
from medseg.inference.predictor import build_predictor
from medseg.model.checkpoint import load_checkpoint
from medseg.output.folder import claim_folder
from medseg.tracking.run import Run
from medseg.training.recipe import Recipe
from medseg.training.record import MASKS
from medseg.training.train import Trained, train

FOLD = "fold"
"""Column of the tables: the fold whose model scored the case."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """One training of a cross-validation."""

    number: int
    recipe: Recipe
    """Recipe of this training: `split.fold` is the fold's number, `output.dir` its folder."""
    splits: Splits

    @property
    def folder(self) -> Path:
        """Folder of the fold's results."""
        return self.recipe.output.dir

    @property
    def is_finished(self) -> bool:
        """Whether the fold has been trained and scored."""
        return (self.folder / "summary.json").is_file() and (self.folder / "best.pt").is_file()


def build_folds(found: CaseSet, recipe: Recipe) -> list[Fold]:
    """All folds. Raises `DataError` if a fold has an empty split, `ConfigError` without a number of folds."""
    folds = []
    if recipe.split.folds is None:
        raise ConfigError("split.folds: null; a cross-validation needs the number of folds, such as split.folds=5")
    for number in range(recipe.split.folds):
        split = recipe.split.model_copy(update={"fold": number})
        output = recipe.output.model_copy(update={"dir": recipe.output.dir / f"fold{number}"})
        own = recipe.model_copy(update={"split": split, "output": output})
        folds.append(Fold(number, own, split_by_patient(found, split)))
    return folds


def check_folds(
    folds: list[Fold], found: CaseSet, data: DataConfig, resumed: bool
) -> tuple[Findings, tuple[CaseFacts, ...]]:
    """Findings about the data, and facts of its cases, from reading every case once before the first fold is trained.

    Raises `DataError` if `train_xray` would for any fold. If `resumed`, raises `CheckpointError` if a finished fold was
    trained on other cases than the present ones.
    """
    recipe, findings = folds[0].recipe, Findings(data.root)
    folder = folds[0].folder.parent
    look = partial(summarize_item, classes=found.classes)
    cached, surveys = cache_cases(found.cases, found.classes, data, recipe.preprocess, folder, findings, look)
    classes = () if data.color == "rgb" else found.classes
    for fold in folds:
        check_splits(surveys, classes, fold.splits.names(), recipe.split.allow_duplicates, findings)
    check_set(surveys, classes, findings)
    findings.check()
    digests = {facts.id: facts.digest for facts in cached.facts}
    for fold in folds if resumed else ():
        _check_finished(fold, digests)
    return findings, cached.facts


def train_folds(folds: Sequence[Fold], data: DataConfig, hardware: Hardware, parent: Run) -> Iterator[Trained]:
    """Train each unfinished fold as `train_xray` does, or resume it; finished folds are only logged."""
    for fold in folds:
        _logger.info("fold %d (folds 0 to %d)", fold.number, len(folds) - 1)
        if fold.is_finished:
            _logger.info("this fold is already finished: %s", fold.folder)
            continue
        with claim_folder(fold.folder, MASKS) as folder:
            resumed = fold.recipe.train.model_copy(update={"resume": (folder / "last.pt").exists()})
            tracking = fold.recipe.tracking.model_copy(update={"run_name": f"{parent.name} fold {fold.number}"})
            recipe = fold.recipe.model_copy(update={"train": resumed, "tracking": tracking})
            yield train(recipe, data, fold.splits, hardware, folder, parent_run_id=parent.id)


def measure_folds(folds: Sequence[Fold], found: CaseSet, data: DataConfig, hardware: Hardware) -> list[CaseMeasurement]:
    """Measurements of every case by the model not trained on it, sorted by case; the group `fold` names the fold."""
    patients = number_patients(name_patients(found.cases, folds[0].recipe.split))
    measured = [case for fold in folds for case in _measure_fold(fold, found, data, hardware, patients)]
    return sorted(measured, key=lambda case: case.result.case)


def _measure_fold(
    fold: Fold, found: CaseSet, data: DataConfig, hardware: Hardware, patients: dict[str, str]
) -> list[CaseMeasurement]:
    """Measurements of the fold's test cases; `patients` maps each case to its patient's pseudonym."""
    recipe, groups = fold.recipe, {FOLD: str(fold.number)}
    backend = build_training_backend(hardware)
    model = load_models((str(fold.folder / "best.pt"),), recipe.tracking)
    candidate = build_candidate(model, build_predictor(model, backend, recipe.predict), data, found)

    def measure(read: ReadCase, predicted: Tensor) -> CaseMeasurement:
        return measure_case(candidate, read, predicted, patients[read.case.id], groups)

    return map_cases(candidate, fold.splits.test, measure)


def _check_finished(fold: Fold, digests: dict[str, str]) -> None:
    """Raise `CheckpointError` if a finished fold was trained on other radiographs than its present splits hold."""
    if not fold.is_finished:
        return
    card, _ = load_checkpoint(fold.folder / "best.pt")
    known = {"train": set(card.train_digests), "validation": set(card.validation_digests)}
    now = {name: {digests[case.id] for case in cases} for name, cases in fold.splits.items()}
    for each in (known, now):  # an image in both splits counts as one of validation
        each["train"] -= each["validation"]
    for name in known:
        if known[name] != now[name]:
            raise CheckpointError(
                f"{fold.folder}: the data or the split changed: this fold was trained with other {name} cases. "
                "Start a new cross-validation with train.resume=false"
            )
