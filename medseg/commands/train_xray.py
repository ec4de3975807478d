"""Train a U-Net on radiographs and record the run in MLflow. Research use only. Not for clinical use.

usage: medseg train [RECIPE] [section.key=value ...]
       In the repository, python -m pipelines.train_xray takes the same arguments.

RECIPE is a YAML file, or the name of a recipe that comes with medseg, such as chest_xray.
Without data.root, the command trains on synthetic radiographs (phantoms).
It writes best.pt (the model), last.pt (the checkpoint to resume from), summary.json and config.yaml to output.dir.
Exit code 0: trained; 1: failed while training; 2: bad configuration or data; 130, 143: stopped by a signal.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medseg.config import parse_args
from medseg.sweep.recipe import SweepRecipe
from medseg.training.recipe import Recipe

if TYPE_CHECKING:
    from medseg.training.train import Trained


class TrainXrayConfig(Recipe):
    """One training."""

    recipe = SweepRecipe


def main(argv: Sequence[str] | None = None) -> None:
    """Train one network, and print its scores and where it is."""
    print(run(parse_args(TrainXrayConfig, argv)).describe())


def run(config: TrainXrayConfig) -> "Trained":
    """Train one network and record the run. Raises `MedsegError`."""
    from medseg.data.cases import find_cases
    from medseg.data.layouts.archive import open_data
    from medseg.data.splits import split_by_patient
    from medseg.data.synthetic import find_data
    from medseg.hardware.device import find_hardware
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from medseg.training.record import MASKS
    from medseg.training.train import train

    check_size(config.preprocess.size, config.model)
    hardware = find_hardware(config.train.device, config.train.precision, config.train.channels_last)
    with claim_folder(config.output.dir, MASKS) as folder, open_data(config.data) as given:
        data = find_data(given, config.phantom, folder)
        splits = split_by_patient(find_cases(data), config.split)
        return train(config, data, splits, hardware, folder)
