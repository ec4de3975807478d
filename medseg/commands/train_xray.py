"""Train a U-Net on radiographs and record the run in MLflow. Research use only. Not for clinical use.

usage: python -m pipelines.train_xray [FILE.yaml] [section.key=value ...]

Without data.root it trains on synthetic phantoms. Writes best.pt, last.pt, summary.json and config.yaml to output.dir.
"""

from collections.abc import Sequence

from medseg.config import parse_args
from medseg.training.recipe import Recipe


class TrainXrayConfig(Recipe):
    """One training."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train one network and record the run."""
    config = parse_args(TrainXrayConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.data.splits import split_by_patient
    from medseg.data.synthetic import find_data
    from medseg.hardware.device import find_hardware
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from medseg.training.record import MASKS
    from medseg.training.train import train

    check_size(config.preprocess.size, config.model)
    hardware = find_hardware(config.train.device, config.train.precision, config.train.channels_last)
    with claim_folder(config.output.dir, MASKS) as folder:
        data = find_data(config.data, config.phantom, folder)
        splits = split_by_patient(find_cases(data), config.split)
        trained = train(config, data, splits, hardware, folder)
        print(trained.describe())
