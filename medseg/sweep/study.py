"""The trials of a sweep, in a SQLite file that several processes share. The one place that knows Optuna."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medseg.errors import ConfigError
from medseg.sweep.config import Objective, SweepConfig
from medseg.sweep.space import Range, Values, parse_space, write_choice
from medseg.tracking.sqlite import build_address

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

State = Literal["waiting", "running", "complete", "pruned", "fail"]

DATABASE = "sweep.db"
_STUDY = "medseg"
_SECONDS = 120
"""Longest wait for another process that writes into the file."""


@dataclass(frozen=True)
class Trial:
    """What is known of a trial."""

    number: int
    state: State
    settings: Mapping[str, Any]
    """The values of the searched settings."""
    objectives: Mapping[Objective, float] = field(default_factory=dict)
    """Empty unless the trial is complete."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What else was noted of it: `run_id`, `pruned_at`, `reason`, `starts`."""

    def describe(self) -> str:
        """The searched settings and the objectives, in a line."""
        scores = [f"{name} {value:.4g}" for name, value in self.objectives.items()]
        settings = [f"{key}={_show(value)}" for key, value in self.settings.items()]
        return ", ".join([*scores, *settings])


class Study:
    """The trials so far, and which settings to try next."""

    def __init__(self, study: "optuna.Study", config: SweepConfig, seed: int) -> None:
        self.config = config
        self._study = study
        self._space = parse_space(config.space)
        self._seed = seed

    def list_trials(self) -> list[Trial]:
        """All trials that have begun, by number."""
        return [self._read(found) for found in self._study.get_trials(deepcopy=False) if found.state.name != "WAITING"]

    def read(self, number: int) -> Trial:
        """What is known of a trial now."""
        return self._read(self._study.get_trials(deepcopy=False)[number])

    def begin_trial(self) -> Trial:
        """A new trial, with its settings. Only one process at a time may begin one.

        The random numbers depend on the seed and the number of the trial. So a sweep that was killed and resumed makes
        the same choices as one without a break.
        """
        self._study.sampler = _build_sampler(self.config, self._seed, len(self.list_trials()))
        return self._suggest(self._study.ask())

    def resume_trial(self, trial: Trial) -> Trial:
        """A running trial, whose process has died, in this process. Settings that were not chosen yet are chosen."""
        self._study.sampler = _build_sampler(self.config, self._seed, trial.number)
        return self._suggest(self._find(trial.number))

    def note(self, number: int, **notes: Any) -> None:
        """Keep notes of a trial."""
        for key, value in notes.items():
            self._find(number).set_user_attr(key, value)

    def report(self, number: int, epoch: int, dice: float) -> bool:
        """Keep the validation Dice of an epoch. Returns whether the trial is to be pruned.

        A resumed trial repeats epochs that its first process has reported; these have been decided.
        """
        if len(self.config.objectives) > 1:  # Optuna does not prune these
            return False
        trial = self._find(number)
        reported = self._study.get_trials(deepcopy=False)[number].intermediate_values
        if epoch not in reported:
            trial.report(dice, epoch)
        return self.config.prune and epoch >= max(reported, default=0) and trial.should_prune()

    def end_trial(self, number: int, state: State, objectives: Sequence[float] | None = None) -> None:
        """End a trial as complete, with its objectives, or as pruned or fail."""
        from optuna.trial import TrialState

        self._study.tell(number, objectives, TrialState[state.upper()])

    def list_best(self) -> list[Trial]:
        """The complete trials that no other one beats in all objectives, best Dice first."""
        chosen = {trial.number for trial in self._study.best_trials}
        best = [trial for trial in self.list_trials() if trial.number in chosen]
        return sorted(best, key=lambda trial: (-trial.objectives["dice"], trial.number))

    def enqueue(self, settings: Mapping[str, Any]) -> None:
        """Try these settings first, if they are in the space and no trial has begun."""
        inside = all(values.holds(settings[key]) for key, values in self._space.items())
        if inside and not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial({key: self._space[key].encode(settings[key]) for key in self._space})

    def _find(self, number: int) -> "optuna.Trial":
        import optuna

        return optuna.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)

    def _suggest(self, trial: "optuna.Trial") -> Trial:
        for key, values in self._space.items():
            _choose(trial, key, values)
        return self.read(trial.number)

    def _read(self, found: "FrozenTrial") -> Trial:
        complete = found.state.name == "COMPLETE"
        return Trial(
            found.number,
            found.state.name.lower(),  # type: ignore[arg-type]
            {key: _decode(self._space[key], found.params[key]) for key in self._space if key in found.params},
            dict(zip(self.config.objectives, found.values, strict=True)) if complete else {},
            dict(found.user_attrs),
        )


@contextmanager
def open_study(folder: Path, config: SweepConfig, seed: int) -> Iterator[Study]:
    """The study in `folder`, which is created if it is new. Raises `ConfigError` without Optuna."""
    optuna = import_optuna()
    pruner = optuna.pruners.MedianPruner(config.startup_trials, config.startup_epochs + 1)  # epochs start at 1
    with _quiet(optuna):
        storage = optuna.storages.RDBStorage(
            build_address(folder.absolute() / DATABASE), {"connect_args": {"timeout": _SECONDS}}
        )
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=_STUDY,
                load_if_exists=True,
                directions=["maximize", "minimize"][: len(config.objectives)],
                pruner=pruner,
            )
            yield Study(study, config, seed)
        finally:
            storage.remove_session()
            storage.engine.dispose()


def import_optuna() -> Any:
    """Optuna. Raises `ConfigError` if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError('medseg sweep needs Optuna. Install it with: pip install "medseg[optuna]"') from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """The block in which Optuna logs only errors."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _build_sampler(config: SweepConfig, seed: int, number: int) -> Any:
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return import_optuna().samplers.TPESampler(n_startup_trials=config.startup_trials, seed=own)


def _choose(trial: "optuna.Trial", key: str, values: Values) -> None:
    """Let `trial` choose a value, unless it has one."""
    if not isinstance(values, Range):
        trial.suggest_categorical(key, values.texts)
    elif values.is_whole:
        trial.suggest_int(key, int(values.low), int(values.high), log=values.is_log)
    else:
        trial.suggest_float(key, values.low, values.high, log=values.is_log)


def _decode(values: Values, stored: Any) -> Any:
    return stored if isinstance(values, Range) else json.loads(stored)


def _show(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else write_choice(value).strip('"')
