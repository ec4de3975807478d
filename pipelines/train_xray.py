"""Train a U-Net on radiographs and record the run in MLflow. Research use only. Not for clinical use.

usage: python -m pipelines.train_xray [FILE.yaml] [section.key=value ...]

Without data.root it trains on synthetic phantoms. Writes best.pt, last.pt, summary.json and config.yaml to output.dir.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import NonNegativeInt, model_validator

from medseg.config import Section, parse_args
from medseg.data.config import AugmentConfig, DataConfig, PhantomConfig, PreprocessConfig, SplitConfig
from medseg.inference.config import PredictConfig
from medseg.model.config import ModelConfig
from medseg.output.config import OutputConfig
from medseg.tracking.config import TrackingConfig
from medseg.training.config import LossConfig, OptimConfig, TrainingConfig
from pipelines.command import run_command


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
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainingConfig = TrainingConfig()
    predict: PredictConfig = PredictConfig()
    tracking: TrackingConfig = TrackingConfig()
    output: TrainOutputConfig = TrainOutputConfig()

    @model_validator(mode="before")
    @classmethod
    def _share_seed(cls, given: Any) -> Any:
        """The split's seed is the run's, unless it has its own."""
        if (
            isinstance(given, dict)
            and isinstance(split := given.get("split") or {}, dict)
            and split.get("seed") is None
        ):
            return {**given, "split": {**split, "seed": given.get("seed", 0)}}
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.padding == 0 and not self.model.mirror_input:
            raise ValueError(
                "model.padding=0 does not cover the picture; training needs model.mirror_input=true with it"
            )
        if self.data.colour and self.preprocess.intensity != "fixed":
            raise ValueError("data.colour=true learns pictures and needs preprocess.intensity=fixed")
        return self


def main(argv: Sequence[str] | None = None) -> None:
    """Train one network and record the run."""
    config = parse_args(TrainConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.data.loaders import cache_splits, check_duplicates
    from medseg.data.splits import split_by_patient
    from medseg.data.synthetic import find_data
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from medseg.tracking.run import start_run
    from medseg.training.card import describe_model
    from medseg.training.engines import seed_everything
    from medseg.training.fit import find_resumed, fit_network
    from medseg.training.precision import choose_device
    from pipelines.train_record import describe_run, finish_run, record_start

    check_size(config.preprocess.size, config.model)
    choose_device(config.train)
    seed_everything(config.seed)
    with claim_folder(config.output.dir) as folder:
        data = find_data(config.data, config.phantom, folder)
        splits = split_by_patient(find_cases(data), config.split)
        cached = cache_splits(splits, data, config.preprocess, folder)
        check_duplicates(cached, config.split)
        card = describe_model(splits.classes, cached, data, config.preprocess, config.model)
        resumed = find_resumed(config.train, card, folder)
        with start_run(config.tracking, **describe_run(config, data, resumed)) as run:
            record_start(run, config, data, cached, folder, fresh=resumed is None)
            sections = config.train, config.optim, config.loss, config.augment
            card = card.model_copy(update={"run_id": run.id})
            fitted = fit_network(card, cached, sections, config.seed, run, folder, resumed)
            finish_run(run, config, data, splits, cached, fitted, folder)


if __name__ == "__main__":
    run_command(main)
