"""Segment every radiograph in a folder with a trained model. Research use only. Not for clinical use.

usage: medseg predict [FILE.yaml] model=M input.dir=DIR [output.dir=OUT] [output.formats=[seg,png]]
       In the repository, python -m pipelines.predict_dicom takes the same arguments.

M is a model file (best.pt), a list of model files (an ensemble), the output folder of a cross-validation (an ensemble),
or an MLflow address (runs:/<id>/model, models:/name@alias).
The command writes the masks, summary.json, report.csv and report.jsonl. The reports have one row for each file.
Run the same command again to resume. This command needs Linux.
Exit code 0: all files done or skipped; 1: some files rejected, or the run failed; 2: could not start; 130, 143: stopped
by a signal.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self, get_args

from pydantic import model_validator

from medseg.archive.members import is_archive
from medseg.config import Section, parse_args
from medseg.inference.config import Addresses, FolderPredictConfig, InputConfig
from medseg.output.config import DRAWN, Format, PredictOutputConfig, ReportConfig
from medseg.tracking.config import StoreConfig

if TYPE_CHECKING:
    from medseg.folder.progress import Tally
    from medseg.folder.report import Row
    from medseg.inference.models import LoadedModel


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
        if not self.input.dir.is_dir() and not is_archive(self.input.dir):
            raise ValueError(f"input.dir: {self.input.dir}: is a file, but a folder or an archive is needed")
        if self.report.paths == "hashed" and (named := [name for name in self.output.formats if name in DRAWN]):
            raise ValueError(
                f"output.formats: files of {', '.join(named)} name their images, but report.paths=hashed hides names. "
                "Remove these formats, or set report.paths=relative"
            )
        folder, results = self.input.dir.resolve(), self.output.dir.resolve()
        own = (results / name for name in ("", *get_args(Format), "earlier", ".scratch"))
        if any(folder == path or (path != results and path in folder.parents) for path in own):
            raise ValueError(
                f"output.dir: {self.output.dir}: the results would mix with the images. Choose another folder"
            )
        return self


def main(argv: Sequence[str] | None = None) -> int:
    """Predict every file of a folder, print how it went, and return 1 if some files were rejected."""
    config = parse_args(PredictDicomConfig, argv)
    rejected = 0
    for item in run(config):
        if not isinstance(item, Mapping):
            print(item.describe(config.output.dir, hashed=config.report.paths == "hashed"), flush=True)
            rejected = item.rejected
    return 1 if rejected else 0


def run(config: PredictDicomConfig, loaded: "LoadedModel | None" = None) -> "Iterator[Row | Tally]":
    """Predict every file of a folder: the row of each file, and the tally after all rows of a pass.

    The report is written before the tally comes. `loaded` is the model, if it is in memory already. Iterate to the
    end, or close the iterator. Raises `MedsegError`.
    """
    from medseg.folder.system import check_system

    check_system()
    from medseg.folder.pool import Workers, start_server

    start_server(config.output.formats)  # it imports what workers need while this process continues
    from medseg.folder.job import build_job
    from medseg.folder.journal import JOURNAL_NAME, Journal
    from medseg.folder.report import report_passes
    from medseg.folder.stages import FolderPrediction
    from medseg.inference.choice import build_backend
    from medseg.inference.models import adjust_model, digest_networks, load_models
    from medseg.inference.predictor import build_predictor
    from medseg.output.folder import claim_folder
    from medseg.output.writers import RESULTS
    from medseg.signals import signals_deferred

    with claim_folder(config.output.dir, RESULTS) as folder, Journal(folder / JOURNAL_NAME) as journal:
        model = adjust_model(loaded or load_models(config.model, config.tracking), config.predict)
        backend = build_backend(config.predict, model, journal.backend)
        journal.keep_backend(backend.name)
        predictor = build_predictor(model, backend, config.predict)
        choices = config.input, config.output, config.report, config.predict.shard
        job = build_job(model, backend.name, predictor.decision, *choices)
        with Workers(config.predict.workers, config.input, folder) as workers, signals_deferred() as pending:
            prediction, settings = FolderPrediction(job, predictor, workers, journal), config.model_dump(mode="json")
            weights = digest_networks(model)
            yield from report_passes(
                prediction, folder, config.input, config.report, settings, pending.came, weights=weights
            )
            pending.raise_if_came()
