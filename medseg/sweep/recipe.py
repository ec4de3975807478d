"""All settings of a sweep, and the check of its search space by the rules of a training."""

from collections.abc import Mapping
from functools import reduce
from typing import Any, Self

from pydantic import ValidationError, field_validator, model_validator
from pydantic_core import to_jsonable_python

from medseg.config import describe_errors, join_problems, leaf_fields, suggest_key
from medseg.sweep.config import SweepConfig, SweepTrainingConfig
from medseg.sweep.space import parse_space, parse_values
from medseg.training.recipe import FREE, Recipe

_FIXED = {
    "seed": "the seed is the same in all trials",
    "data.": "all trials have the same data",
    "phantom.": "all trials have the same data",
    "split.": "all trials have the same split",
    "predict.": "it does not affect the training",
    "train.precision": "all trials run on the same hardware",
    **dict.fromkeys(FREE, "it does not affect the result"),
}
"""Starts of the settings that cannot be searched, each with the reason."""


class CheckedSweepConfig(SweepConfig):
    """Search for settings: the search space, and the trials in it."""

    @field_validator("space")
    @classmethod
    def _check_space(cls, space: dict[str, Any]) -> dict[str, Any]:
        """Names and notation; `SweepRecipe` checks the values."""
        known = {key: field for key, field, _ in leaf_fields(Recipe)}
        problems = []
        for key, given in space.items():
            reason = next((why for name, why in _FIXED.items() if key.startswith(name)), None)
            if key not in known:
                problems.append(f"sweep: unknown setting '{key}'{suggest_key(key, _list_searchable(known))}")
            elif reason is not None:
                problems.append(f"sweep: {key}: cannot be searched, because {reason}")
            try:
                parse_values(given)
            except ValueError as error:
                problems.append(f"sweep: {key}: {given}: {error}")
        if problems:
            raise join_problems(problems)
        return space


class SweepRecipe(Recipe):
    """All settings of a sweep: those of a training, and the search space."""

    sweep: CheckedSweepConfig = CheckedSweepConfig()
    train: SweepTrainingConfig = SweepTrainingConfig()

    @model_validator(mode="after")
    def _check_sweep(self) -> Self:
        """Every choice, and the ends of every range, by the rules of a training."""
        problems = []
        if not self.sweep.space:
            problems.append("sweep: no setting to search. Write for example sweep: {model.width: [16, 24, 32]}")
        space = {key: values.samples for key, values in parse_space(self.sweep.space).items()}
        for setting in ({key: value} for key, samples in space.items() for value in samples):
            lines = self.refuse(setting)
            others = ({other: value} | setting for other, samples in space.items() for value in samples)
            if lines and all(self.refuse(pair) for pair in others):  # else it may fit another searched setting
                problems += [f"sweep: {line}" for line in lines]
        if self.sweep.objectives == ("dice", "tflop") and self.train.tflop is not None:
            problems.append("sweep.objectives: with train.tflop, each trial costs as many TFLOP. Limit train.epochs")
        if isinstance(self.sweep.seeds, tuple) and self.seed in self.sweep.seeds:
            problems.append(f"sweep.seeds: {self.seed} is the seed of the trials. Choose others")
        if self.tracking.register is not None:
            problems.append("tracking.register: a sweep cannot register a model. Remove this setting")
        if problems:
            raise join_problems(list(dict.fromkeys(problems)))
        return self

    def list_own(self) -> dict[str, Any]:
        """The values that the recipe itself has for the searched settings, as JSON has them.

        A dump of the recipe leaves out some settings that have their default.
        """
        return {key: to_jsonable_python(reduce(getattr, key.split("."), self)) for key in self.sweep.space}

    def list_seeds(self) -> tuple[int, ...]:
        """The seeds of the retraining."""
        seeds = self.sweep.seeds
        return seeds if isinstance(seeds, tuple) else tuple(range(self.seed + 1, self.seed + 1 + seeds))

    def build_recipe(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe of one training with these values of the searched settings. Raises `ValidationError`."""
        tree = self.model_dump(exclude={"sweep"})
        tree["train"]["resume"] = False
        for key, value in settings.items():
            section, _, name = key.partition(".")
            tree[section][name] = value
        return Recipe.model_validate(tree)

    def refuse(self, settings: Mapping[str, Any]) -> list[str]:
        """What a training would say of these values; empty if it takes them."""
        try:
            self.build_recipe(settings)
        except ValidationError as error:
            return describe_errors(error, {key: field for key, field, _ in leaf_fields(Recipe)})
        return []


def _list_searchable(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: field for key, field in keys.items() if not key.startswith(tuple(_FIXED))}
