"""Train a U-Net on radiographs: `python -m pipelines.train_xray`; `train_config` says what can be set."""

from collections.abc import Sequence

from medseg.config import parse_args
from pipelines.command import run_command
from pipelines.train_config import TrainConfig


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
        card = describe_model(splits.classes, cached, data, config.preprocess, config.model, config.inference)
        resumed = find_resumed(config.train, card, folder)
        with start_run(config.tracking, **describe_run(config, data, resumed)) as run:
            record_start(run, config, data, cached, folder, fresh=resumed is None)
            sections = config.train, config.optim, config.loss, config.augment
            card = card.model_copy(update={"run_id": run.id})
            fitted = fit_network(card, cached, sections, config.seed, run, folder, resumed)
            finish_run(run, config, data, splits, cached, fitted, folder)


if __name__ == "__main__":
    run_command(main)
