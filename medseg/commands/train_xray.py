"""Train a U-Net on radiographs and record the run in MLflow. Research use only. Not for clinical use.

usage: medseg train [RECIPE] [section.key=value ...]
       In the repository, python -m pipelines.train_xray takes the same arguments.

RECIPE is a YAML file, or the name of a recipe that comes with medseg, such as chest_xray.
torchrun --nproc-per-node=N -m medseg train ... trains on N processes (docs/several-processes.md).
Without data.root, the command trains on synthetic radiographs (phantoms).
It writes best.pt (the model), last.pt (the checkpoint to resume from), summary.json and config.yaml to output.dir.
Exit code 0: trained; 1: failed while training; 2: bad configuration or data; 130, 143: stopped by a signal.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.config import parse_args
from medseg.data.config import DataConfig
from medseg.errors import DataError
from medseg.sweep.recipe import SweepRecipe
from medseg.training.recipe import Recipe

if TYPE_CHECKING:
    from medseg.data.splits import Splits
    from medseg.training.train import Trained


class TrainXrayConfig(Recipe):
    """One training."""

    recipe = SweepRecipe


def main(argv: Sequence[str] | None = None) -> None:
    """Train one network, and print its scores and where it is."""
    print(run(parse_args(TrainXrayConfig, argv)).describe())


def run(config: TrainXrayConfig) -> "Trained":
    """Train one network and record the run. Raises `MedsegError`.

    If torchrun started several processes, each calls this, and all train the same network.
    """
    from medseg.data.cases import find_cases
    from medseg.data.layouts.archive import open_data
    from medseg.data.splits import split_by_patient
    from medseg.data.synthetic import find_data
    from medseg.hardware.device import find_hardware
    from medseg.hardware.processes import joined
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from medseg.training.record import MASKS
    from medseg.training.train import train

    def find_splits(folder: Path, given: DataConfig) -> "tuple[DataConfig, Splits]":
        if given is not config.data and processes.local_size < processes.size:
            raise DataError(f"{config.data.root}: unpack this archive into a folder that all machines see")
        data = find_data(given, config.phantom, folder)
        return data, split_by_patient(find_cases(data), config.split)

    check_size(config.preprocess.size, config.model)
    with joined(config.train.device, config.train.timeout_seconds) as processes:
        hardware = find_hardware(config.train.device, config.train.precision, config.train.channels_last, processes)
        with (
            processes.first(claim_folder(config.output.dir, MASKS), config.output.dir) as folder,
            processes.first(open_data(config.data), config.data) as given,
        ):
            data, splits = processes.lead(partial(find_splits, folder, given))
            return train(config, data, splits, hardware, folder)
