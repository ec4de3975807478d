"""Train one U-Net a fold and score every case by the one that has not seen it. Research use only. Not for clinical use.

usage: python -m pipelines.cross_validate [FILE.yaml] [split.folds=5] [section.key=value ...]

Everything is as for train_xray, once a fold: fold k is what split.folds=5 split.fold=k trains, and the budgets
train.minutes and train.epochs are those of each fold. Writes fold<k>/ (best.pt, last.pt, summary.json, ...) and
summary.json, whose `test` has the scores over all cases with 95 % intervals by patient, to output.dir, which is itself
a model: `model=DIR` of predict_dicom and evaluate_xray takes all folds as an ensemble.
Run it again to go on where it was stopped: finished folds stay, an unfinished one goes on from its last.pt. Where
settings that decide the result have changed it stops and names them; train.resume=false begins anew.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from medseg.atomic import write_text
from medseg.config import parse_args
from medseg.data.config import SplitConfig
from medseg.output.config import TrainOutputConfig
from medseg.training.config import TrainingConfig
from medseg.training.recipe import Recipe


class CrossSplitConfig(SplitConfig):
    """Patients for training, validation and test."""

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    """Number of folds. Patients are ordered by a hash of seed and patient, then cut into folds; each is tested once."""

    fold: Annotated[int, Field(ge=0, le=0)] = 0
    """Always 0: each fold is the test set in turn."""


class CrossTrainingConfig(TrainingConfig):
    """Length of the training of each fold, hardware, validation and checkpoints."""

    epochs: PositiveInt | None = None
    """Training budget of each fold in epochs. null: no limit if train.minutes is given, else 30."""

    minutes: PositiveFloat | None = None
    """Training budget of each fold in minutes from its first step, validation included. null: no limit. If train.epochs
    is given too, training ends at the first of the two limits."""

    batch_size: PositiveInt = 4
    """Batch size, the same in every fold."""

    resume: bool = True
    """Resume the cross-validation in output.dir if it has the same settings. false: start a new one and move the old
    results to earlier/."""


class CrossOutputConfig(TrainOutputConfig):
    """Where results are written."""

    dir: Path = Path("output/cross_validate")
    """The folder of this command's results; one process at a time writes into it."""

    masks: bool = True
    """Write the masks of each case, predicted by the model not trained on it, to fold<k>/masks/<class>/<case>.png: PNG
    files with the values 0 and 255."""


class CrossValidateConfig(Recipe):
    """One cross-validation."""

    split: CrossSplitConfig = CrossSplitConfig()
    train: CrossTrainingConfig = CrossTrainingConfig()
    output: CrossOutputConfig = CrossOutputConfig()

    @model_validator(mode="after")
    def _check_register(self) -> Self:
        if self.tracking.register is not None:
            raise ValueError("tracking.register: a cross-validation registers no model; train_xray does")
        return self


def main(argv: Sequence[str] | None = None) -> None:
    """Train one network a fold, score every case by the one that has not seen it, and record all of it."""
    config = parse_args(CrossValidateConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.data.synthetic import find_data
    from medseg.evaluation.cross_validation import describe_parent, find_begun, pool_folds, record_begin, record_pooled
    from medseg.evaluation.folds import build_folds, check_folds, train_folds
    from medseg.hardware.device import find_hardware
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from medseg.report.evaluation import describe_cross_validation, write_evaluation
    from medseg.tracking.lifecycle import start_run

    check_size(config.preprocess.size, config.model)
    hardware = find_hardware(config.train.device, config.train.precision, config.train.channels_last)
    with claim_folder(config.output.dir) as folder:
        data = find_data(config.data, config.phantom, folder)
        found = find_cases(data)
        folds = build_folds(found, config)
        begun = find_begun(config, folder)
        findings = check_folds(folds, found, data, resumed=begun is not None)
        with start_run(**describe_parent(config, data, begun)) as run:
            record_begin(run, config, findings, folder, fresh=begun is None)
            for trained in train_folds(folds, data, hardware, run):
                print(trained.describe())
            evaluation = pool_folds(config, data, hardware, folds, found)
            write_evaluation(evaluation, folder)
            summary = record_pooled(run, evaluation, folds, folder)
            print(describe_cross_validation(evaluation, summary, run))
        write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
