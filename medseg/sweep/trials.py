"""The trials of a sweep: each is a training without test cases, and its validation score is an objective."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from pydantic import ValidationError

from medseg.data.config import DataConfig
from medseg.data.splits import Splits
from medseg.errors import CheckpointError, ConfigError, OutputBusyError, TrainingError
from medseg.hardware.device import Hardware
from medseg.model.unet import check_size
from medseg.output.folder import claim_folder
from medseg.sweep.config import Objective
from medseg.sweep.cost import build_counted, measure_milliseconds, read_tflop
from medseg.sweep.recipe import SweepRecipe
from medseg.sweep.record import TRIALS, write_table
from medseg.sweep.study import State, Study, Trial
from medseg.tracking.nested import note_nested
from medseg.training.recipe import Recipe
from medseg.training.record import MASKS
from medseg.training.train import train

WAIT_SECONDS = 0.5
"""Time between two looks at what other processes do."""

_MOST_STARTS = 3
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sweep:
    """What the trials and the retraining have in common."""

    config: SweepRecipe
    data: DataConfig
    splits: Splits
    hardware: Hardware
    folder: Path
    study: Study
    parent_id: str
    """The MLflow run that all others are nested under."""
    parent_name: str


@contextmanager
def claim_free(folder: Path) -> Iterator[Path | None]:
    """The folder, claimed by this process within the block; None if another process has it."""
    with ExitStack() as held:
        try:
            claimed = held.enter_context(claim_folder(folder, MASKS))
        except OutputBusyError:
            claimed = None
        yield claimed


def run_trials(sweep: Sweep, say: Callable[[str], None]) -> None:
    """Run trials until all have ended, also those of other processes. `say` gets a line for each trial."""
    while True:
        with ExitStack() as held:
            trial = _claim(sweep, held)
            if trial is not None:
                ended = _run(sweep, trial)
                say(f"trial {ended.number} (of 0 to {sweep.config.sweep.trials - 1}) {_describe_end(ended)}")
                continue
        if all(trial.state != "running" for trial in sweep.study.list_trials()):
            return
        time.sleep(WAIT_SECONDS)


def _claim(sweep: Sweep, held: ExitStack) -> Trial | None:
    """A trial for this process: one whose process has died, else a new one; None if there is none.

    Its folder is locked until `held` is closed. Trials begin and end only under the lock of the sweep. So a trial that
    runs, while nobody has its folder, was left by a process that has died.
    """
    with _locked(sweep):
        trials = sweep.study.list_trials()
        for trial in trials:
            if trial.state == "running" and held.enter_context(claim_free(find_folder(sweep, trial.number))):
                return sweep.study.resume_trial(trial)
        if len(trials) >= sweep.config.sweep.trials:
            return None
        trial = sweep.study.begin_trial()
        held.enter_context(claim_folder(find_folder(sweep, trial.number), MASKS))
        return trial


def find_folder(sweep: Sweep, number: int) -> Path:
    """The folder of a trial."""
    return sweep.folder / TRIALS / f"{number:03d}"


def _locked(sweep: Sweep) -> FileLock:
    return FileLock(sweep.folder / ".trials.lock")


def _run(sweep: Sweep, trial: Trial) -> Trial:
    """Run or resume a trial, and keep how it ended. A fault of its settings makes it fail; other errors are raised."""
    study, number = sweep.study, trial.number
    starts = trial.notes.get("starts", 0) + 1
    study.note(number, starts=starts)
    _logger.info("trial %d: %s%s", number, trial.describe(), " (resumed)" if starts > 1 else "")
    objectives: dict[Objective, float] = {}
    try:
        if starts > _MOST_STARTS:
            raise TrainingError(f"its process died {_MOST_STARTS} times")
        objectives = _train(sweep, trial)
        state: State = "pruned" if "pruned_at" in study.read(number).notes else "complete"
    except (TrainingError, CheckpointError, torch.OutOfMemoryError) as error:
        _logger.warning("trial %d failed: %s", number, error)
        study.note(number, reason=str(error).splitlines()[0])
        state = "fail"
    except BaseException:
        study.note(number, starts=starts - 1)  # stopped, not died
        raise
    scores = {str(name): value for name, value in objectives.items()} if state == "complete" else {}
    tags = {"medseg.trial": str(number), "medseg.trial_state": state} | _tag_end(study.read(number))
    run_id = note_nested(sweep.config.tracking, sweep.parent_id, _name(sweep, number), tags, scores, number)
    study.note(number, run_id=run_id or "")
    with _locked(sweep):
        study.end_trial(number, state, list(objectives.values()) if state == "complete" else None)
        write_table(sweep.folder, study)
    return study.read(number)


def _train(sweep: Sweep, trial: Trial) -> dict[Objective, float]:
    """Train, or resume what a dead process has begun, and measure the objectives."""
    folder, study = find_folder(sweep, trial.number), sweep.study
    recipe = _build_recipe(sweep, trial, folder)

    def decide(epoch: int, scores: dict[str, float]) -> bool:
        stops = "pruned_at" in study.read(trial.number).notes or study.report(trial.number, epoch, scores["dice"])
        if stops:
            study.note(trial.number, pruned_at=epoch)
        return stops

    if (folder / "summary.json").is_file():  # the process died right after the training
        summary = json.loads((folder / "summary.json").read_text())
    else:
        seen = replace(sweep.splits, test=())
        summary = train(
            recipe, sweep.data, seen, sweep.hardware, folder, parent_run_id=sweep.parent_id, hook=decide
        ).summary
    found: dict[Objective, float] = {"dice": summary["validation"]["dice"]}
    if "tflop" in sweep.config.sweep.objectives:
        found["tflop"] = read_tflop(folder)
    if "milliseconds" in sweep.config.sweep.objectives:
        found["milliseconds"] = measure_milliseconds(folder, sweep.hardware, recipe.tracking)
    return found


def _build_recipe(sweep: Sweep, trial: Trial, folder: Path) -> Recipe:
    """The recipe of a trial. Raises `TrainingError` if its settings do not fit together."""
    try:
        recipe = sweep.config.build_recipe(trial.settings)
        check_size(recipe.preprocess.size, recipe.model)
    except (ValidationError, ConfigError) as error:
        raise TrainingError(f"these settings do not fit together: {_shorten(error)}") from error
    limits: dict[str, Any] = {"resume": (folder / "last.pt").exists()}
    if "tflop" in sweep.config.sweep.objectives:
        limits |= build_counted(recipe.train)
    named = {"run_name": _name(sweep, trial.number), "description": f"Trial of a sweep: {trial.describe()}"}
    return recipe.model_copy(
        update={
            "train": recipe.train.model_copy(update=limits),
            "tracking": recipe.tracking.model_copy(update=named),
            "output": recipe.output.model_copy(update={"dir": folder, "masks": False}),
        }
    )


def _name(sweep: Sweep, number: int) -> str:
    return f"{sweep.parent_name} trial {number}"


def _describe_end(trial: Trial) -> str:
    ends = {
        "pruned": f"pruned in epoch {trial.notes.get('pruned_at')}",
        "fail": f"failed: {trial.notes.get('reason')}",
    }
    return f"{ends.get(trial.state, 'completed')}: {trial.describe()}"


def _tag_end(trial: Trial) -> dict[str, str]:
    """Tags that say when a trial was pruned, or why it failed."""
    named = {"pruned_at": "medseg.pruned_at_epoch", "reason": "medseg.failure"}
    return {tag: str(trial.notes[key]) for key, tag in named.items() if key in trial.notes}


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())
