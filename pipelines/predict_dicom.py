"""Segment a folder of radiographs: `python -m pipelines.predict_dicom`; `predict_config` says what can be set."""

from collections.abc import Sequence

from medseg.config import parse_args
from pipelines.command import run_command
from pipelines.predict_config import PredictDicomConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Predict every file of a folder, report on each, and say whether some were rejected."""
    config = parse_args(PredictDicomConfig, argv)
    from medseg.folder.pool import start_server

    start_server(config.output.formats)  # which imports what its processes need while this one goes on
    from medseg.folder.journal import JOURNAL_NAME, Journal
    from medseg.folder.pool import Workers
    from medseg.folder.stages import FolderPrediction
    from medseg.inference.choice import build_backend
    from medseg.inference.models import load_models
    from medseg.inference.predictor import build_predictor
    from medseg.output.folder import claim_folder
    from medseg.signals import signals_deferred
    from pipelines.predict_record import RESULTS, build_job, record_folder

    with claim_folder(config.output.dir, RESULTS) as folder, Journal(folder / JOURNAL_NAME) as journal:
        model = load_models(config.model, config.tracking, config.predict)
        backend = build_backend(config.predict, model, journal.backend)
        journal.keep_backend(backend.name)
        predictor = build_predictor(model, backend, config.predict)
        job = build_job(config, model, backend.name, predictor.decision)
        with Workers(config.predict.workers, config.input, folder) as workers, signals_deferred() as pending:
            prediction = FolderPrediction(job, predictor, workers, journal)
            tally = record_folder(config, prediction, pending)
    return 1 if tally.rejected else 0


if __name__ == "__main__":
    run_command(main)
