"""What a benchmark is made of: its own settings, and those of the training that runs in it."""

from typing import Self

from pydantic import NonNegativeInt, PositiveFloat, model_validator

from medseg.benchmark.config import BenchmarkSettings
from medseg.config import Section
from medseg.data.config import AugmentConfig, DataConfig, PhantomConfig, PreprocessConfig, SplitConfig, share_seed
from medseg.model.config import ModelConfig
from medseg.training.config import LossConfig, OptimConfig, TrainingConfig


class BenchmarkTrainingConfig(TrainingConfig):
    """How this project trains for benchmark.dice."""

    minutes: PositiveFloat | None = 1.5
    """Budget in minutes from the first step, over which the learning rate falls; at most benchmark.minutes."""


class Recipe(Section):
    """What decides all that is measured."""

    seed: NonNegativeInt = 0
    """Decides weights, order of cases, augmentation and, unless split.seed is given, the split."""

    benchmark: BenchmarkSettings = BenchmarkSettings()
    data: DataConfig = DataConfig()
    phantom: PhantomConfig = PhantomConfig()
    split: SplitConfig = SplitConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: BenchmarkTrainingConfig = BenchmarkTrainingConfig()

    _share_seed = model_validator(mode="before")(share_seed)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.data.color == "rgb":
            raise ValueError("data.color=rgb: the benchmark needs grey radiographs and masks")
        if "time_to_dice" in self.benchmark.parts and any(side % 16 or side < 32 for side in self.preprocess.size):
            raise ValueError("preprocess.size: the article's network takes multiples of 16, from 32")
        return self
