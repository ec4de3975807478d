"""The best settings, trained again with seeds that no trial had. Only these networks are measured on the test set."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medseg.errors import TrainingError
from medseg.sweep.record import RETRAINED
from medseg.sweep.study import Study, Trial
from medseg.sweep.trials import WAIT_SECONDS, Sweep, claim_free
from medseg.training.recipe import Recipe
from medseg.training.train import train

_logger = logging.getLogger(__name__)


def choose_trial(study: Study) -> Trial:
    """The trial with the best Dice; with two objectives, the cheapest within `sweep.margin` of it.

    Raises `TrainingError` if no trial is complete.
    """
    front = study.list_best()
    if not front:
        reasons = {str(trial.notes["reason"]) for trial in study.list_trials() if "reason" in trial.notes}
        raise TrainingError(
            f"no trial was completed ({'; '.join(sorted(reasons))}). Change the search space or the budget, and start "
            "again with train.resume=false"
        )
    if len(study.config.objectives) == 1:
        return front[0]
    least, cost = front[0].objectives["dice"] - study.config.margin, study.config.objectives[1]
    return min((t for t in front if t.objectives["dice"] >= least), key=lambda trial: trial.objectives[cost])


def retrain(sweep: Sweep, best: Trial, recipe: Recipe, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Train `recipe`, that of the `best` trial, once for each seed, and return the scores.

    Several processes share the seeds. `say` gets a line for each seed that this process has trained.
    """
    folders = {
        seed: sweep.folder / RETRAINED / f"trial-{best.number:03d}-seed-{seed}" for seed in sweep.config.list_seeds()
    }
    while waiting := [seed for seed, folder in folders.items() if not _is_finished(folder)]:
        trained = [_train(sweep, recipe.model_copy(update={"seed": seed}), folders[seed], say) for seed in waiting]
        if not any(trained):
            time.sleep(WAIT_SECONDS)
    summaries = {seed: json.loads((folder / "summary.json").read_text()) for seed, folder in folders.items()}
    return [
        {"seed": seed} | {key: done[key] for key in ("run_id", "model", "test")} for seed, done in summaries.items()
    ]


def _train(sweep: Sweep, recipe: Recipe, folder: Path, say: Callable[[str], None]) -> bool:
    """Train or resume one seed, unless another process does. Returns whether it was trained here."""
    with claim_free(folder) as claimed:
        if claimed is None or _is_finished(folder):
            return False
        _logger.info("retraining with seed %d", recipe.seed)
        changes = {
            "train": recipe.train.model_copy(update={"resume": (folder / "last.pt").exists()}),
            "tracking": recipe.tracking.model_copy(update={"run_name": f"{sweep.parent_name} seed {recipe.seed}"}),
            "output": recipe.output.model_copy(update={"dir": folder}),
        }
        own = recipe.model_copy(update=changes)
        done = train(own, sweep.data, sweep.splits, sweep.hardware, folder, parent_run_id=sweep.parent_id)
        say(f"seed {recipe.seed}: test Dice {done.summary['test']['dice']:.4f}")
        return True


def _is_finished(folder: Path) -> bool:
    return (folder / "summary.json").is_file()
