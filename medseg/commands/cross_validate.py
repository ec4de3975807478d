"""Train one network per fold, and score each case by an unseen network. Research use only. Not for clinical use.

usage: medseg cross-validate [RECIPE] [split.folds=5] [section.key=value ...]
       In the repository, python -m pipelines.cross_validate takes the same arguments.

Each fold is trained as the train command does with split.folds=5 split.fold=k. The budgets train.minutes,
train.tflop and train.epochs apply to each fold.
The command writes fold<k>/ (best.pt, last.pt, summary.json and more) and summary.json to output.dir. The object `test`
of summary.json has the scores over all cases, with 95 % intervals by patient.
output.dir is itself a model: the predict and evaluate commands take model=DIR as the ensemble of all folds.
Run the same command again to resume: finished folds stay, and an unfinished fold resumes from its last.pt. If settings
that affect the result have changed, the command stops and names them. train.resume=false starts again.
Exit code 0: done; 1: failed while training; 2: bad configuration or data; 130, 143: stopped by a signal.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator, model_validator

from medseg.atomic import write_text
from medseg.config import Section, parse_args
from medseg.data.config import SplitConfig
from medseg.output.config import TrainOutputConfig
from medseg.sweep.recipe import SweepRecipe
from medseg.training.config import AUTO, TrainingConfig
from medseg.training.recipe import Recipe

if TYPE_CHECKING:
    from medseg.report.evaluation import CrossValidated


def _use_default(cls: type[Section], given: Any, info: ValidationInfo) -> Any:
    """The default in place of null, which the recipe of a single training may have."""
    return cls.model_fields[str(info.field_name)].default if given is None else given


class CrossSplitConfig(SplitConfig):
    """Patients for training, validation and test."""

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    """Number of folds. The patients are sorted by a hash of the seed and the patient ID, and the sorted list is divided
    into folds."""

    fold: Annotated[int, Field(ge=0, le=0)] = 0
    """Fold used as the test set. Leave this at 0. The command goes through all folds itself, and each fold is the test
    set once."""

    _fill = field_validator("folds", mode="before")(_use_default)


class CrossTrainingConfig(TrainingConfig):
    """Length of the training of each fold, hardware, validation and checkpoints."""

    epochs: PositiveInt | None = None
    """Training budget of each fold in epochs. null: no limit if train.minutes or train.tflop is given, else 30."""

    minutes: PositiveFloat | None = None
    """Training budget of each fold in minutes from its first step, validation included. null: no limit. If several
    budgets are given, training ends at the first limit."""

    tflop: PositiveFloat | None = None
    """Training budget of each fold in TFLOP: 10^12 floating-point operations of the network in training steps. null: no
    limit."""

    batch_size: PositiveInt = 4
    """Batch size, the same in every fold."""

    resume: bool = True
    """Resume the cross-validation in output.dir if it has the same settings. false: start a new one and move the old
    results to earlier/."""

    _fill = field_validator("batch_size", mode="before")(_use_default)


class CrossOutputConfig(TrainOutputConfig):
    """Where results are written."""

    dir: Path = Path("output/cross_validate")
    """Folder for the results of this command. Only one process at a time may write into it."""

    masks: bool = True
    """Also write the predicted masks to fold<k>/masks/<class>/<case>.png, with the values 0 and 255. Each case is
    predicted by the model that was not trained on it."""


class CrossValidateConfig(Recipe):
    """One cross-validation."""

    recipe = SweepRecipe

    split: CrossSplitConfig = CrossSplitConfig()
    train: CrossTrainingConfig = CrossTrainingConfig()
    output: CrossOutputConfig = CrossOutputConfig()

    @model_validator(mode="after")
    def _check_register(self) -> Self:
        if self.train.init not in (None, AUTO):
            raise ValueError("train.init: that model may have seen the test cases of a fold. Remove this setting")
        if self.tracking.register is not None:
            raise ValueError("tracking.register: a cross-validation cannot register a model. Remove this setting")
        return self


def main(argv: Sequence[str] | None = None) -> None:
    """Train and score all folds, and print the scores of each as soon as it ends."""
    print(run(parse_args(CrossValidateConfig, argv), say=print).describe())


def run(config: CrossValidateConfig, say: Callable[[str], None] = lambda text: None) -> "CrossValidated":
    """Train one network per fold, score each case by the network that has not seen it, and record everything.

    `say` gets the scores of each fold as soon as it ends. Raises `MedsegError`.
    """
    from medseg.data.cases import find_cases, refuse_drawn
    from medseg.data.layouts.archive import open_data
    from medseg.data.synthetic import find_data
    from medseg.evaluation.cross_validation import (
        describe_parent,
        find_begun,
        pool_folds,
        record_begin,
        record_pooled,
        write_card,
    )
    from medseg.evaluation.folds import build_folds, check_folds, train_folds
    from medseg.hardware.device import find_hardware
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from medseg.report.evaluation import CrossValidated, write_evaluation
    from medseg.tracking.lifecycle import start_run
    from medseg.training.facts import describe_cases

    check_size(config.preprocess.size, config.model)
    hardware = find_hardware(config.train.device, config.train.precision, config.train.channels_last)
    with claim_folder(config.output.dir) as folder, open_data(config.data) as given:
        data = find_data(given, config.phantom, folder)
        found = find_cases(data)
        refuse_drawn(found.cases, data.root)
        folds = build_folds(found, config)
        begun = find_begun(config, folder)
        findings, read = check_folds(folds, found, data, resumed=begun is not None)
        with start_run(**describe_parent(config, data, begun)) as mlflow_run:
            record_begin(mlflow_run, config, findings, folder, fresh=begun is None)
            for trained in train_folds(folds, data, hardware, mlflow_run):
                say(trained.describe())
            evaluation = pool_folds(config, data, hardware, folds, found)
            facts = describe_cases(config, data, found.cases, read)
            receipt = write_card(mlflow_run, config, facts, hardware, evaluation, folds, folder)
            write_evaluation(evaluation, folder)
            summary = record_pooled(mlflow_run, evaluation, folds, folder, receipt)
        write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return CrossValidated(evaluation, folder, summary, mlflow_run)
