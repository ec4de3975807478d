"""What a sweep writes: the state to resume from, the table of trials, the best recipe, the summary."""

import csv
import io
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.atomic import open_atomically, write_text
from medseg.config import flatten
from medseg.data.case import as_text
from medseg.data.config import DataConfig
from medseg.data.synthetic import SYNTHETIC
from medseg.errors import ConfigError
from medseg.evaluation.begun import read_begun
from medseg.notice import RESEARCH_USE
from medseg.output.config import TrainOutputConfig
from medseg.sweep.chart import draw_front, draw_history
from medseg.sweep.recipe import SweepRecipe
from medseg.sweep.study import DATABASE, Study, Trial
from medseg.tracking.run import Run
from medseg.training.recipe import Recipe, list_deciding, write_recipe
from medseg.training.record import name_data

STATE = "sweep.json"
TABLE, BEST, SUMMARY = "trials.csv", "best.yaml", "summary.json"
FRONT, HISTORY = "pareto.png", "history.png"
TRIALS, RETRAINED = "trials", "retrained"
"""Folders of the trials and of the retraining."""
RESULTS = (STATE, DATABASE, TABLE, BEST, SUMMARY, FRONT, HISTORY, TRIALS, RETRAINED, "config.yaml")

WHY = (
    "The score of the best trial is not a result: the best of many trials is partly luck, and the search has used the "
    "validation set. These scores are of networks that were trained with other seeds, on the test set, which no trial "
    "has seen."
)
_FREE = ("sweep.trials", "sweep.seeds", "sweep.margin")
"""Settings that may change when a sweep goes on."""


def find_begun(config: SweepRecipe, folder: Path) -> dict[str, Any] | None:
    """The state of the sweep to go on with in `folder`; None for a new one. Raises `ConfigError` if settings differ."""
    return read_begun(folder / STATE, list_settings(config), "sweep") if config.train.resume else None


def list_settings(config: SweepRecipe) -> dict[str, Any]:
    """The settings that decide the result of the trials."""
    root = config.data.root
    deciding = {key: value for key, value in list_deciding(config).items() if not key.startswith(_FREE)}
    return deciding | {"data.root": None if root is None else str(root.resolve())}


def check_same_cases(begun: Mapping[str, Any], digests: Mapping[str, str], folder: Path) -> None:
    """Raise `ConfigError` if the trials so far have seen other cases or another split."""
    if any(begun.get(name) != digest for name, digest in digests.items()):
        raise ConfigError(
            f"{folder}: the cases or their split changed since this sweep began, so its trials cannot be compared. "
            "Start a new one with train.resume=false; the old results move to earlier/"
        )


def describe_parent(config: SweepRecipe, data: DataConfig, begun: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of `start_run` for the parent run of the sweep."""
    return {
        "config": config.tracking.model_copy(update={"system_metrics": False}),
        "parameters": flatten(config),
        "tags": {
            "medseg.data": name_data(config, data),
            "medseg.synthetic": str(config.data.root is None).lower(),
            "medseg.kind": "sweep",
        },
        "resume_run_id": None if begun is None else str(begun["run_id"]),
    }


def record_begin(run: Run, config: SweepRecipe, digests: Mapping[str, str], folder: Path) -> None:
    """Write the configuration and, last, the state, after which other processes may join."""
    write_text(folder / "config.yaml", write_recipe(config))
    run.log_text(write_recipe(config), "config.yaml")
    state = {"run_id": run.id, "run_name": run.name, **digests, "config": list_settings(config)}
    write_text(folder / STATE, json.dumps(state, indent=2) + "\n")


def write_table(folder: Path, study: Study) -> None:
    """Write `trials.csv`: a row for each trial."""
    trials, objectives = study.list_trials(), study.config.objectives
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *study.config.space, *objectives, "pruned_at", "run_id", "reason"])
    for trial in trials:
        settings = [_show(trial.settings[key]) if key in trial.settings else "" for key in study.config.space]
        scores = [trial.objectives.get(name, "") for name in objectives]
        notes = [trial.notes.get(name, "") for name in ("pruned_at", "run_id", "reason")]
        writer.writerow([trial.number, trial.state, *settings, *scores, *notes])
    write_text(folder / TABLE, text.getvalue())


def write_best(recipe: Recipe, trial: Trial, folder: Path) -> None:
    """Write the recipe of the best trial for the train command, with the output folder of that command."""
    own = recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": TrainOutputConfig().dir})})
    write_text(folder / BEST, f"# Trial {trial.number} of a sweep: {trial.describe()}\n{write_recipe(own)}")


def record_end(
    run: Run, study: Study, best: Trial, retrained: Sequence[Mapping[str, Any]], folder: Path, data: Path | None
) -> dict[str, Any]:
    """Draw and record the trials, and return the content of `summary.json`. `data` is the root of the data set."""
    trials, names = study.list_trials(), list(retrained[0]["test"])
    scores = {name: [float(part["test"][name]) for part in retrained] for name in names}
    summary: dict[str, Any] = {
        "run_id": run.id,
        "run_name": run.name,
        "trials": len(trials),
        "states": dict(Counter(trial.state for trial in trials)),
        "data": SYNTHETIC if data is None else as_text(data),
        "best_trial": best.number,
        "best_settings": dict(best.settings),
        "recipe": str(folder / BEST),
        "test": {name: statistics.mean(values) for name, values in scores.items()},
        "test_std": {name: statistics.stdev(values) if len(values) > 1 else None for name, values in scores.items()},
        "seeds": list(retrained),
        "note": WHY,
        "research_use": RESEARCH_USE,
    }
    spread = {f"test_std/{name}": value for name, value in summary["test_std"].items() if value is not None}
    run.log_metrics({f"test/{name}": value for name, value in summary["test"].items()} | spread, 0)
    run.log_dict(summary, SUMMARY)
    name, figure = (
        (FRONT, draw_front(trials, study.list_best(), best))
        if len(study.config.objectives) > 1
        else (HISTORY, draw_history(trials, best))
    )
    with open_atomically(folder / name) as file:
        figure.savefig(file, format="png")
    for file_name in (name, TABLE, BEST):
        run.log_file(folder / file_name)
    return summary


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
