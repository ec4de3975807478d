"""Train a U-Net on radiographs and record the run in MLflow. Research use only. Not for clinical use.

usage: python -m pipelines.train_xray [FILE.yaml] [section.key=value ...]

Without data.root it trains on synthetic phantoms. Writes best.pt, last.pt, summary.json and config.yaml to output.dir.
"""

from pathlib import Path
from typing import Self

from pydantic import NonNegativeInt, model_validator

from medseg.config import Section
from medseg.data.config import AugmentConfig, DataConfig, PhantomConfig, PreprocessConfig, SplitConfig, share_seed
from medseg.inference.config import PredictConfig
from medseg.model.config import InferenceConfig, ModelConfig
from medseg.output.config import OutputConfig
from medseg.tracking.config import TrackingConfig
from medseg.training.config import LossConfig, OptimConfig, TrainingConfig


class TrainOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/train_xray")
    """The folder of this command's results; one process at a time writes into it."""

    masks: bool = False
    """Also write the test cases' masks as PNG, 0 and 255, at the size of the references (the article's)."""


class TrainConfig(Section):
    """One training."""

    seed: NonNegativeInt = 0
    """Decides weights, order of cases, augmentation and, unless split.seed is given, the split."""

    data: DataConfig = DataConfig()
    phantom: PhantomConfig = PhantomConfig()
    split: SplitConfig = SplitConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    inference: InferenceConfig = InferenceConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainingConfig = TrainingConfig()
    predict: PredictConfig = PredictConfig()
    tracking: TrackingConfig = TrackingConfig()
    output: TrainOutputConfig = TrainOutputConfig()

    _share_seed = model_validator(mode="before")(share_seed)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.padding == 0 and not self.model.mirror_input:
            raise ValueError(
                "model.padding=0 does not cover the picture; training needs model.mirror_input=true with it"
            )
        if self.data.color == "rgb" and self.preprocess.intensity != "fixed":
            raise ValueError("data.color=rgb learns RGB images and needs preprocess.intensity=fixed")
        return self
