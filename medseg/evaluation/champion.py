"""Chooses the champion among the versions of a registered model, by a paired test on cases that neither has seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medseg.errors import CheckpointError, ConfigError
from medseg.evaluation.result import Comparison, Evaluation
from medseg.inference.models import load_models
from medseg.metrics.statistics import LEVEL, count_needed
from medseg.tracking.config import StoreConfig
from medseg.tracking.registry import CHAMPION, Registry, open_registry


@dataclass(frozen=True)
class Champion:
    """The present champion."""

    version: str
    model: str
    """16 hex digits, as in `Evaluation.model`."""
    classes: tuple[str, ...]
    seen: frozenset[str]
    """Digests of the cases that this model was trained or validated on."""


@dataclass(frozen=True)
class Verdict:
    """Whether the evaluated model becomes the champion, and why."""

    promoted: bool
    reason: str
    tested: bool = False
    """Whether the decision comes from the paired test."""


def find_champion_address(config: StoreConfig, name: str, run_id: str | None, model: str) -> str | None:
    """MLflow address of the champion, with which an evaluation must be compared; None if there is no champion yet.

    Raises `ConfigError` if the store has no registered model of that name, or if `model` (16 hex digits, trained in the
    run `run_id`) is not a version of it.
    """
    with open_registry(config, name) as registry:
        _find_version(registry, run_id, model)
        return f"models:/{name}@{CHAMPION}" if registry.find_champion() else None


def promote_model(evaluation: Evaluation, run_id: str | None, config: StoreConfig, name: str) -> str:
    """Make the evaluated model, trained in `run_id`, the champion of the registered model `name` if it wins the test.

    Returns a sentence on the decision and its reason, with the number of decisions that this test set has made. Cases
    that were left out count as part of the test set. If two promotions run at once on a server, the later one wins.
    Raises `ConfigError` if the store has no such registered model or version.
    """
    with open_registry(config, name) as registry:
        version, present = _find_version(registry, run_id, evaluation.model), registry.find_champion()
        if present == version:
            return f"version {version} of '{name}' is already the champion"
        try:
            champion = None if present is None else _read_champion(registry, config, present)
        except CheckpointError as error:
            verdict = Verdict(False, f"version {present}, the champion, cannot be read ({error})")
        else:
            if champion is not None and champion.model == evaluation.model:
                return f"version {version} of '{name}' is the same model as version {present}, the champion"
            verdict = decide(evaluation, champion)
        words = (
            f"version {version} of '{name}' is {'now' if verdict.promoted else 'not'} the champion: {verdict.reason}"
        )
        if verdict.tested:
            number = registry.count_decision(evaluation.test_set, words)
            times = "once" if number == 1 else f"{number} times"
            words += f". This test set has now decided {times}; reusing one test set weakens its p-values"
        if verdict.promoted:
            registry.set_champion(version)
        return words


def decide(evaluation: Evaluation, champion: Champion | None) -> Verdict:
    """Decide whether the evaluated model replaces `champion`.

    It does if there is no champion yet. Else three conditions must hold on cases that neither model was trained or
    validated on: the mean Dice of at least one class is significantly better, the mean over all classes is not worse,
    and no class is significantly worse. Every class of the champion must have been tested.
    """
    obstacle = _find_obstacle(evaluation, champion)
    if obstacle is not None:
        return Verdict(False, obstacle)
    if champion is None or evaluation.comparison is None:
        return Verdict(True, "there was no champion before")
    comparison, names = evaluation.comparison, [f"dice_{name}" for name in evaluation.classes]
    significant = [name for name in names if comparison.adjusted[name] < LEVEL]
    worse, better = (
        [name for name in significant if sign * comparison.differences[name].difference > 0] for sign in (1, -1)
    )
    than = f"than version {champion.version}"
    if worse:
        return Verdict(False, f"significantly worse {than} in {_list(comparison, worse)}", True)
    if not better:
        return Verdict(False, f"not significantly better {than} ({_list(comparison, names)})", True)
    if not comparison.differences["dice"].difference <= 0:
        return Verdict(False, f"better {than} in {_list(comparison, better)}, but worse on average over classes", True)
    return Verdict(True, f"better {than} in {_list(comparison, better)}, not significantly worse in any class", True)


def _find_obstacle(evaluation: Evaluation, champion: Champion | None) -> str | None:
    """The reason why these cases cannot decide; None if they can."""
    if champion is None:
        return None
    comparison, who = evaluation.comparison, f"version {champion.version}, the champion"
    seen = {case.digest for case in evaluation.cases} & {digest[:16] for digest in champion.seen}
    if seen:
        of = f"{len(seen)} of the {len(evaluation.cases)} cases"
        return f"{who}, was trained or validated on {of}; only cases that neither model has seen can decide"
    if comparison is None or comparison.other != champion.model:
        return f"it was not compared with {who}"
    names = [f"dice_{name}" for name in evaluation.classes]
    lacking = [name.removeprefix("dice_") for name in names if name not in comparison.adjusted]
    if lacking:
        return f"{who}, does not segment {', '.join(lacking)}"
    tested = [name for name in evaluation.classes if math.isfinite(comparison.adjusted[f"dice_{name}"])]
    untested = [name for name in champion.classes if name not in tested]
    if untested:
        return f"the champion also segments {', '.join(untested)}, which was not tested"
    needed = count_needed(len(tested))
    if comparison.patients < needed:
        return f"the test set is too small to decide: {comparison.patients} patients, the test needs at least {needed}"
    return None


def _list(comparison: Comparison, names: Sequence[str]) -> str:
    return ", ".join(
        f"{name.removeprefix('dice_')} (Dice {-comparison.differences[name].difference:+.4f}, "
        f"p {comparison.adjusted[name]:.3g})"
        for name in names
    )


def _find_version(registry: Registry, run_id: str | None, model: str) -> str:
    version = None if run_id is None else registry.find_version(run_id, model)
    if version is None:
        raise ConfigError(
            f"tracking.promote=true: the evaluated model is not a version of '{registry.name}'. "
            f"Register a model by training it with medseg train tracking.register={registry.name}"
        )
    return version


def _read_champion(registry: Registry, config: StoreConfig, version: str) -> Champion:
    model = load_models((f"models:/{registry.name}/{version}",), config)
    seen = frozenset((*model.card.train_digests, *model.card.validation_digests))
    return Champion(version, model.digest, model.card.classes, seen)
