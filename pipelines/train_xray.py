"""Train a U-Net on radiographs: `python -m pipelines.train_xray`; `train_config` says what can be set."""

from collections.abc import Sequence

from medseg.config import parse_args
from pipelines.command import run_command
from pipelines.train_config import TrainConfig


def main(argv: Sequence[str] | None = None) -> None:
    """Train one network and record the run."""
    config = parse_args(TrainConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.data.splits import split_by_patient
    from medseg.data.synthetic import find_data
    from medseg.hardware.precision import choose_device
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from pipelines.train_once import train_once
    from pipelines.train_record import MASKS

    check_size(config.preprocess.size, config.model)
    choose_device(config.train)
    with claim_folder(config.output.dir, MASKS) as folder:
        data = find_data(config.data, config.phantom, folder)
        splits = split_by_patient(find_cases(data), config.split)
        train_once(config, data, splits, folder)


if __name__ == "__main__":
    run_command(main)
