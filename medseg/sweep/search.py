"""A sweep as a whole. The first process leads: it has the MLflow run and writes the result. Others share its trials."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.checks.items import summarize_item
from medseg.checks.run import check_training
from medseg.config import list_problems
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.loaders import cache_splits
from medseg.data.splits import Splits, split_by_patient
from medseg.data.synthetic import SYNTHETIC, find_data
from medseg.errors import ConfigError, OutputBusyError
from medseg.hardware.device import Hardware
from medseg.model.unet import check_size
from medseg.output.folder import set_aside
from medseg.sweep.recipe import SweepRecipe
from medseg.sweep.record import (
    RESULTS,
    SUMMARY,
    check_same_cases,
    describe_parent,
    find_begun,
    record_begin,
    record_end,
    write_best,
    write_table,
)
from medseg.sweep.retrain import choose_trial, retrain
from medseg.sweep.space import parse_space
from medseg.sweep.study import Trial, open_study
from medseg.sweep.trials import WAIT_SECONDS, Sweep, claim_free, run_trials
from medseg.tracking.lifecycle import start_run
from medseg.tracking.store import find_store
from medseg.training.receipt import digest_cases, digest_split
from medseg.training.record import record_findings

Say = Callable[[str], None]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """A finished sweep."""

    summary: dict[str, Any]
    """The content of `summary.json`."""
    ui_command: str
    """The command that opens the MLflow UI on the store."""

    @property
    def recipe(self) -> Path:
        """The best settings as a recipe: `best.yaml`."""
        return Path(self.summary["recipe"])

    def describe(self) -> str:
        """The text for the terminal: the best settings, and the scores of the retraining."""
        found, states = self.summary, self.summary["states"]
        counts = ", ".join(f"{count} {name}" for name, count in sorted(states.items()))
        best = Trial(found["best_trial"], "complete", found["best_settings"])
        scores = ", ".join(f"seed {part['seed']} {part['test']['dice']:.4f}" for part in found["seeds"])
        spread = found["test_std"]["dice"]
        synthetic = f" ({SYNTHETIC})" if found["data"] == SYNTHETIC else ""
        return "\n".join(
            [
                f"{found['trials']} trials: {counts}",
                f"retrained: trial {best.number}, {best.describe()}",
                f"test Dice{synthetic}: {scores}; mean {found['test']['dice']:.4f}"
                + ("" if spread is None else f", standard deviation {spread:.4f}"),
                found["note"],
                f"recipe: {found['recipe']}",
                f"MLflow run {found['run_name']}; to look at it: {self.ui_command}",
                found["research_use"],
            ]
        )


def check_sizes(config: SweepRecipe) -> None:
    """Raise `ConfigError` that lists the values with which the network cannot take its input."""
    tried = [{key: value} for key, values in parse_space(config.sweep.space).items() for value in values.samples]
    problems: list[str] = []
    for settings in ({}, *(alone for alone in tried if not config.refuse(alone))):
        recipe = config.build_recipe(settings)
        try:
            check_size(recipe.preprocess.size, recipe.model)
        except ConfigError as error:
            problems += [f"sweep: {key}: {value}: {error}" for key, value in settings.items()] or [str(error)]
    if problems:
        raise list_problems(problems)


def lead(config: SweepRecipe, given: DataConfig, hardware: Hardware, folder: Path, say: Say) -> Swept:
    """Run or resume the sweep in `folder`, which this process has claimed. A finished one is only read.

    `say` gets a line for each trial and each retraining. Raises `DataError` for data that no training would take,
    `ConfigError` for another sweep than that of the folder, `TrainingError` if no trial was completed.
    """
    begun, ui_command = find_begun(config, folder), find_store(config.tracking).ui_command
    if begun is not None and (finished := _read_finished(config, folder)) is not None:
        return Swept(finished, ui_command)
    if begun is None and (earlier := set_aside(folder, RESULTS)) is not None:
        _logger.info("moved the results of an earlier sweep to %s", earlier)
    data = find_data(given, config.phantom, folder)
    splits = split_by_patient(find_cases(data), config.split)
    findings, digests = _check_cases(config, data, splits, folder)
    if begun is not None:
        check_same_cases(begun, digests, folder)
    with (
        start_run(**describe_parent(config, data, begun)) as run,
        open_study(folder, config.sweep, config.seed) as study,
    ):
        study.enqueue(config.list_own())
        record_findings(run, findings)
        record_begin(run, config, digests, folder)
        sweep = Sweep(config, data, splits, hardware, folder, study, run.id, run.name)
        run_trials(sweep, say)
        best = choose_trial(study)
        recipe = config.build_recipe(best.settings)
        write_table(folder, study)
        write_best(recipe, best, folder)
        retrained = retrain(sweep, best, recipe, say)
        summary = record_end(run, study, best, retrained, folder, config.data.root) | {"asked": _list_asked(config)}
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return Swept(summary, ui_command)


def assist(config: SweepRecipe, given: DataConfig, hardware: Hardware, say: Say) -> None:
    """Share the trials and the retraining of a sweep that another process leads, until that process has ended."""
    folder = config.output.dir
    if not config.train.resume:
        raise OutputBusyError(f"{folder}: another process runs a sweep in this folder; choose another output.dir")
    while (begun := find_begun(config, folder)) is None:
        if _is_free(folder):
            return
        time.sleep(WAIT_SECONDS)
    _logger.info("another process leads the sweep in %s; this process shares its trials", folder)
    data = find_data(given, config.phantom, folder)
    splits = split_by_patient(find_cases(data), config.split)
    with open_study(folder, config.sweep, config.seed) as study:
        sweep = Sweep(config, data, splits, hardware, folder, study, begun["run_id"], begun["run_name"])
        run_trials(sweep, say)
        best = choose_trial(study)
        retrain(sweep, best, config.build_recipe(best.settings), say)
    while not _is_free(folder):
        time.sleep(WAIT_SECONDS)


def _check_cases(
    config: SweepRecipe, data: DataConfig, splits: Splits, folder: Path
) -> tuple[Findings, dict[str, str]]:
    """Findings about the data, from reading every case once before the first trial, and digests of cases and split.

    Raises `DataError` if the train command would.
    """
    findings = Findings(data.root)
    look = partial(summarize_item, classes=splits.classes)
    cached, surveys = cache_splits(splits, data, config.preprocess, folder, findings, look)
    check_training(surveys, splits, data, config.split, findings)
    findings.check()
    facts = [facts for _, part in cached.items() for facts in part.facts]
    return findings, {"data": digest_cases(facts, splits.classes), "split": digest_split(splits)}


def _read_finished(config: SweepRecipe, folder: Path) -> dict[str, Any] | None:
    """The summary of the sweep, if it has as many trials and the same seeds as `config` asks for."""
    if not (folder / SUMMARY).is_file():
        return None
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return summary if summary["asked"] == _list_asked(config) else None


def _list_asked(config: SweepRecipe) -> dict[str, Any]:
    """The settings that may change when a sweep goes on."""
    return {"trials": config.sweep.trials, "margin": config.sweep.margin, "seeds": list(config.list_seeds())}


def _is_free(folder: Path) -> bool:
    with claim_free(folder) as claimed:
        return claimed is not None
