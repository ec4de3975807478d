"""The settings of a sweep: the search space, the trials, and what is reported."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from medseg.config import DOTTED, Section
from medseg.training.config import TrainingConfig

Objective = Literal["dice", "tflop", "milliseconds"]


class SweepConfig(Section):
    """Search for settings: the search space, and the trials in it."""

    space: Annotated[dict[str, Any], DOTTED] = Field(default_factory=dict)
    """Settings to search, each with its values. 0.1..0.6: numbers. log 1e-4..1e-2: numbers on a logarithmic scale.
    2..6: whole numbers. [16, 24, 32]: choices of any kind. Every key of the section sweep that has a dot in it belongs
    to the space: `sweep: {model.width: [16, 24, 32], trials: 30}`."""

    trials: PositiveInt = 20
    """Number of trials, pruned and failed trials included. It may be raised later: the sweep then goes on."""

    objectives: tuple[Objective, ...] = ("dice",)
    """What decides which trial is better. dice: mean Dice on the validation set, at the size of the reference masks. A
    second objective is the cost, which should be low: [dice, tflop] for TFLOP of the training, [dice, milliseconds]
    for the time of one prediction on this machine."""

    margin: NonNegativeFloat = 0.0
    """With two objectives: the largest loss of validation Dice that is accepted for a lower cost. 0: the trial with the
    highest Dice is retrained."""

    startup_trials: PositiveInt = 5
    """Number of finished trials at random before the search learns from them, and before a trial can be pruned."""

    prune: bool = True
    """Prune trials: stop a trial after a validation if its best Dice so far is below the median of the other trials at
    that epoch. Only with one objective."""

    startup_epochs: NonNegativeInt = 2
    """Number of epochs at the start of each trial in which it is not pruned."""

    seeds: PositiveInt | tuple[NonNegativeInt, ...] = 3
    """Seeds of the retraining with the best settings. A number: as many seeds, after that of the trials. A list: these
    seeds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.objectives not in (("dice",), ("dice", "tflop"), ("dice", "milliseconds")):
            raise ValueError("sweep.objectives: should be [dice], [dice, tflop] or [dice, milliseconds]")
        if isinstance(self.seeds, tuple) and (not self.seeds or len(set(self.seeds)) < len(self.seeds)):
            raise ValueError("sweep.seeds: should be a number, or a list of different seeds")
        return self


class SweepTrainingConfig(TrainingConfig):
    """Length of each trial and each retraining, hardware, validation and checkpoints."""

    resume: bool = True
    """Resume the sweep in output.dir if it has the same settings. false: start a new one and move the old results to
    earlier/."""
