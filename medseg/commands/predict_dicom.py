"""Segment every radiograph in a folder with a trained model. Research use only. Not for clinical use.

usage: python -m pipelines.predict_dicom [FILE.yaml] model=M input.dir=DIR [output.dir=OUT] [output.formats=[seg,png]]

M is a model file (best.pt), a list of these or a folder of cross_validate (an ensemble), or an MLflow address
(runs:/<id>/model, models:/name@alias). Writes report.csv and report.jsonl, one row for each file that was met,
summary.json, and the masks. Run it again to go on where it was stopped.
Exit code 0: all done or skipped; 1: some rejected, or failed under way; 2: could not start; 130, 143: stopped.
"""

from collections.abc import Sequence
from typing import Self, get_args

from pydantic import model_validator

from medseg.config import Section, parse_args
from medseg.inference.config import Addresses, FolderPredictConfig, InputConfig
from medseg.output.config import Format, PredictOutputConfig, ReportConfig
from medseg.tracking.config import StoreConfig


class PredictDicomConfig(Section):
    """One prediction of a folder."""

    model: Addresses
    """Model, or list of models for an ensemble: files, folders or MLflow addresses."""

    input: InputConfig
    predict: FolderPredictConfig = FolderPredictConfig()
    output: PredictOutputConfig = PredictOutputConfig()
    report: ReportConfig = ReportConfig()
    tracking: StoreConfig = StoreConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model:
            raise ValueError("model: an empty list; at least one model is needed")
        if not self.input.dir.is_dir():
            raise ValueError(f"input.dir: {self.input.dir}: is a file; a folder is needed")
        folder, results = self.input.dir.resolve(), self.output.dir.resolve()
        own = (results / name for name in ("", *get_args(Format), "earlier", ".scratch"))
        if any(folder == path or (path != results and path in folder.parents) for path in own):
            raise ValueError(f"output.dir: {self.output.dir} would write into input.dir; choose another folder")
        return self


def main(argv: Sequence[str] | None = None) -> int:
    """Predict every file of a folder, report on each, and say whether some were rejected."""
    config = parse_args(PredictDicomConfig, argv)
    from medseg.folder.pool import Workers, start_server

    start_server(config.output.formats)  # which imports what its processes need while this one goes on
    from medseg.folder.job import build_job
    from medseg.folder.journal import JOURNAL_NAME, Journal
    from medseg.folder.report import describe_tally, report_passes
    from medseg.folder.stages import FolderPrediction
    from medseg.inference.choice import build_backend
    from medseg.inference.models import load_models
    from medseg.inference.predictor import build_predictor
    from medseg.output.folder import claim_folder
    from medseg.output.writers import RESULTS
    from medseg.signals import signals_deferred

    rejected = 0
    with claim_folder(config.output.dir, RESULTS) as folder, Journal(folder / JOURNAL_NAME) as journal:
        model = load_models(config.model, config.tracking, config.predict)
        backend = build_backend(config.predict, model, journal.backend)
        journal.keep_backend(backend.name)
        predictor = build_predictor(model, backend, config.predict)
        job = build_job(model, backend.name, predictor.decision, config.input, config.output, config.report)
        with Workers(config.predict.workers, config.input, folder) as workers, signals_deferred() as pending:
            prediction, settings = FolderPrediction(job, predictor, workers, journal), config.model_dump(mode="json")
            for tally in report_passes(prediction, folder, config.input, config.report, settings, pending.came):
                print(describe_tally(tally, folder, config.report), flush=True)
                rejected = tally.rejected
            pending.raise_if_came()
    return 1 if rejected else 0
