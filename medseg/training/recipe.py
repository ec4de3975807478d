"""All settings of a training, as a recipe in `configs/` gives them."""

from types import MappingProxyType
from typing import Any, Self

from pydantic import NonNegativeInt, model_validator

from medseg.config import Section, flatten, to_yaml
from medseg.data.config import AugmentConfig, DataConfig, PreprocessConfig, SplitConfig, share_seed
from medseg.inference.config import TrainPredictConfig
from medseg.model.config import ModelConfig
from medseg.output.config import TrainOutputConfig
from medseg.phantom.config import PhantomConfig
from medseg.tracking.config import TrackingConfig
from medseg.training.config import LossConfig, OptimConfig, TrainingConfig

FREE = (
    "output.",
    "tracking.",
    "data.cache_gib",
    "split.allow_duplicates",
    "predict.batch_size",
    "train.device",
    "train.channels_last",
    "train.compile",
    "train.strips_every",
    "train.num_strips",
    "train.save_seconds",
    "train.resume",
    "train.timeout_seconds",
)
"""Settings of locations, speed and displays, which do not affect the result."""


class FitRecipe(Section):
    """The settings that determine the weights."""

    seed: NonNegativeInt = 0
    """Seed of the initial weights, the order of cases and the augmentation. Also seed of the split, unless split.seed
    is given."""

    data: DataConfig = DataConfig()
    phantom: PhantomConfig = PhantomConfig()
    split: SplitConfig = SplitConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainingConfig = TrainingConfig()

    _share_seed = model_validator(mode="before")(share_seed)


class Recipe(FitRecipe):
    """All settings of one training."""

    earlier = MappingProxyType({"inference": "predict"})

    predict: TrainPredictConfig = TrainPredictConfig()
    tracking: TrackingConfig = TrackingConfig()
    output: TrainOutputConfig = TrainOutputConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.padding == 0 and not self.model.mirror_input:
            raise ValueError("model.padding=0: the output would not cover the whole image; add model.mirror_input=true")
        if self.data.color == "rgb" and self.preprocess.intensity != "fixed":
            raise ValueError("data.color=rgb needs preprocess.intensity=fixed")
        return self


def write_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, for any command that trains.

    It is without `train.resume`: to resume is the default of some of these commands, and not of others.
    """
    return to_yaml(recipe, without={"train": {"resume"}})


def list_deciding(recipe: Recipe) -> dict[str, Any]:
    """The settings that decide the result of a training, by dotted key. The folder of the data set is among them."""
    return {key: value for key, value in flatten(recipe).items() if not key.startswith(FREE)}
