"""Measure this machine, and medseg beside the article's loops on it. Research use only. Not for clinical use.

usage: python -m pipelines.benchmark [FILE.yaml] [benchmark.parts=[limit,prediction]] [section.key=value ...]

Who is compared takes turns in one run. Prints a table, and writes benchmark.json (all figures), benchmark.png (a chart)
and an MLflow run. Ratios hold between machines better than times do; close other programs before.
FILE.yaml may be one of train_xray: data, model, loss, optim, train and so on are those of the training that runs
for benchmark.dice, on phantoms unless data.root is given; nothing else depends on model and preprocess.
The article's training loop, as written, also writes a picture each step and its weights every ten (in "article, nothing
saved" it does not); ours is the step alone, without validation and saving. A folder's decode and write shares are sums
over processes, which may exceed 100%. "Dice with fp32" is of a network of benchmark.fit_seconds, unsure of small
organs; benchmark.model=M takes a trained one.
A quarter of an hour on two cores. Exit code 0: measured; 1: failed under way; 2: could not start; 130, 143: stopped.
"""

from pathlib import Path
from typing import Self

from pydantic import NonNegativeInt, PositiveFloat, model_validator

from medseg.benchmark.config import BenchmarkSettings
from medseg.config import Section
from medseg.data.config import AugmentConfig, DataConfig, PhantomConfig, PreprocessConfig, SplitConfig, share_seed
from medseg.model.config import ModelConfig
from medseg.output.config import OutputConfig
from medseg.tracking.config import TrackingConfig
from medseg.training.config import LossConfig, OptimConfig, TrainingConfig
from pipelines.train_config import TrainConfig


class BenchmarkTrainingConfig(TrainingConfig):
    """How this project trains for benchmark.dice."""

    minutes: PositiveFloat | None = 1.5
    """Budget in minutes from the first step, over which the learning rate falls; at most benchmark.minutes."""


class BenchmarkOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/benchmark")
    """The folder of this command's results; one process at a time writes into it."""


class BenchmarkConfig(Section):
    """One benchmark."""

    recipe = TrainConfig

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
    tracking: TrackingConfig = TrackingConfig()
    output: BenchmarkOutputConfig = BenchmarkOutputConfig()

    _share_seed = model_validator(mode="before")(share_seed)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.data.color == "rgb":
            raise ValueError("data.color=rgb: the benchmark needs grey radiographs and masks")
        if "time_to_dice" in self.benchmark.parts and any(side % 16 or side < 32 for side in self.preprocess.size):
            raise ValueError("preprocess.size: the article's network takes multiples of 16, from 32")
        return self
