"""What a benchmark is made of: its own settings, and those of the training that runs in it."""

from typing import Self

from pydantic import PositiveFloat, model_validator

from medseg.benchmark.config import BenchmarkSettings
from medseg.training.config import TrainingConfig
from medseg.training.recipe import FitRecipe


class BenchmarkTrainingConfig(TrainingConfig):
    """How this project trains for benchmark.dice."""

    minutes: PositiveFloat | None = 1.5
    """Budget in minutes from the first step, over which the learning rate falls; at most benchmark.minutes."""


class BenchmarkRecipe(FitRecipe):
    """What decides all that is measured."""

    benchmark: BenchmarkSettings = BenchmarkSettings()
    train: BenchmarkTrainingConfig = BenchmarkTrainingConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.data.color == "rgb":
            raise ValueError("data.color=rgb: the benchmark needs grey radiographs and masks")
        if "time_to_dice" in self.benchmark.parts and any(side % 16 or side < 32 for side in self.preprocess.size):
            raise ValueError("preprocess.size: the article's network takes multiples of 16, from 32")
        return self
