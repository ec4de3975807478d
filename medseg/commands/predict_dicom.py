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
from medseg.cluster.config import FolderConfig
from medseg.config import Section, parse_args
from medseg.inference.config import MANIFESTS, Addresses, FolderPredictConfig, InputConfig
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
    folder: FolderConfig = FolderConfig()
    tracking: StoreConfig = StoreConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model:
            raise ValueError("model: an empty list; at least one model is needed")
        if not (self.input.dir.is_dir() or self.input.dir.suffix.lower() in MANIFESTS or is_archive(self.input.dir)):
            raise ValueError(f"input.dir: {self.input.dir}: is a file, but a folder, archive or manifest is needed")
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
    from medseg.folder.pool import start_server

    start_server(config.output.formats)  # it imports what workers need while this process continues
    from medseg.cluster.engine import open_engine
    from medseg.cluster.parts import FOLDER, add_parts
    from medseg.folder.job import build_job
    from medseg.folder.journal import JOURNAL_NAME, Journal
    from medseg.folder.report import report_passes
    from medseg.folder.stages import FolderPrediction
    from medseg.inference.decision import build_decision
    from medseg.inference.models import adjust_model, digest_networks, load_models
    from medseg.objects.places import find_sink, find_source
    from medseg.output.folder import claim_folder
    from medseg.output.writers import RESULTS
    from medseg.signals import signals_deferred

    places = (
        find_source(config.input.dir, config.output.dir, config.input, shard=config.predict.shard),
        find_sink(config.output.dir, config.folder.results),
    )
    with claim_folder(config.output.dir, (*RESULTS, FOLDER)) as folder, Journal(folder / JOURNAL_NAME) as journal:
        model = adjust_model(loaded or load_models(config.model, config.tracking, config.predict), config.predict)
        machines = config.folder, config.predict, config.input, config.output.formats
        with open_engine(*machines, model, journal.backend, folder) as engine, signals_deferred() as pending:
            journal.keep_backend(engine.backend)
            decision = build_decision(model.card, config.predict)
            job = build_job(model, engine.backend, decision, config.input, config.output, config.report, *places)
            prediction = FolderPrediction(job, engine.predictor, engine.workers, journal, engine.network)
            settings, weights = config.model_dump(mode="json"), digest_networks(model)
            passes = report_passes(
                prediction, folder, config.input, config.report, settings, pending.came, weights=weights
            )
            yield from add_parts(passes, folder) if config.folder.engine == "ray" else passes
            pending.raise_if_came()
