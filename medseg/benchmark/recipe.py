"""All settings of a benchmark: its own, and those of the training that it runs."""

from typing import Self

from pydantic import PositiveFloat, model_validator

from medseg.benchmark.config import BenchmarkSettings
from medseg.training.config import TrainingConfig
from medseg.training.recipe import FitRecipe


class BenchmarkTrainingConfig(TrainingConfig):
    """How this project trains to reach benchmark.dice."""

    init: str | None = None
    """Not used: the networks of a benchmark start from random weights."""

    minutes: PositiveFloat | None = 1.5
    """Training budget in minutes from the first step, validation excluded. null: benchmark.minutes,
    which is also the upper limit. The learning rate falls over this time."""


class BenchmarkRecipe(FitRecipe):
    """All settings that decide the figures."""

    benchmark: BenchmarkSettings = BenchmarkSettings()
    train: BenchmarkTrainingConfig = BenchmarkTrainingConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.data.color == "rgb":
            raise ValueError("data.color=rgb: the benchmark needs grayscale radiographs and masks; remove data.color")
        if "time_to_dice" in self.benchmark.parts and any(side % 16 or side < 32 for side in self.preprocess.size):
            raise ValueError(
                "preprocess.size: the article's network needs multiples of 16, at least 32. Change preprocess.size, or "
                "remove time_to_dice from benchmark.parts"
            )
        return self
