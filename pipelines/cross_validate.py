"""Cross-validation: `python -m pipelines.cross_validate`; `cross_config` says what can be set."""

from collections.abc import Sequence

from medseg.config import parse_args
from pipelines.command import run_command
from pipelines.cross_config import CrossValidateConfig


def main(argv: Sequence[str] | None = None) -> None:
    """Train one network a fold, score every case by the one that has not seen it, and record all of it."""
    config = parse_args(CrossValidateConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.data.synthetic import find_data
    from medseg.hardware.precision import choose_device
    from medseg.model.unet import check_size
    from medseg.output.folder import claim_folder
    from medseg.tracking.lifecycle import start_run
    from pipelines.cross_folds import build_folds, check_folds, measure_folds, train_fold
    from pipelines.cross_record import describe_parent, find_begun, record_begin, record_pooled, write_summary
    from pipelines.train_record import record_findings

    check_size(config.preprocess.size, config.model)
    choose_device(config.train)
    with claim_folder(config.output.dir) as folder:
        data = find_data(config.data, config.phantom, folder)
        found = find_cases(data)
        folds = build_folds(found, config)
        begun = find_begun(config, folder)
        findings = check_folds(folds, found, data, begun is not None)
        with start_run(**describe_parent(config, data, begun)) as run:
            record_begin(run, config, folder, fresh=begun is None)
            record_findings(run, findings)
            for fold in folds:
                train_fold(fold, data, run)
            summary = record_pooled(run, config, data, folds, measure_folds(folds, found, data), folder)
        write_summary(summary, folder)


if __name__ == "__main__":
    run_command(main)
