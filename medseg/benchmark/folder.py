"""End to end: from a folder of DICOM files to masks on disk, compared with the rate of the network alone.

A turn begins once the model is loaded and the worker processes are requested, and ends once the report is written.
It includes the start of the workers, the walk through the folder, reading, network, writing, journal and report.
It excludes process start, imports, loading and the choice of a backend, as does the rate that `predict_dicom` prints.
Unlike the command itself, it also excludes the slower first image: the network is warm, as in the part `prediction`.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from medseg.atomic import open_atomically
from medseg.benchmark.bench import Bench
from medseg.benchmark.contest import Contest, Contestant, Details, Turn, compete, timed
from medseg.errors import DataError
from medseg.folder.job import build_job
from medseg.folder.journal import JOURNAL_NAME, Journal
from medseg.folder.pool import Workers, start_server
from medseg.folder.progress import Tally
from medseg.folder.report import report_passes
from medseg.folder.stages import FolderPrediction
from medseg.folder.system import check_system
from medseg.inference.choice import build_backend
from medseg.inference.config import FolderPredictConfig, InputConfig
from medseg.inference.models import LoadedModel
from medseg.inference.predictor import Predictor, build_predictor
from medseg.model.checkpoint import Accepts
from medseg.model.operations import count_gflop
from medseg.output.config import Format, PredictOutputConfig, ReportConfig
from medseg.phantom.chest import draw_phantom
from medseg.phantom.dicom import Coat, build_dicom

NETWORK = "network alone"
_WAYS: dict[str, tuple[UID, Format]] = {
    "DICOM to PNG": (ExplicitVRLittleEndian, "png"),
    "JPEG 2000 to PNG": (JPEG2000Lossless, "png"),
    "DICOM to SEG": (ExplicitVRLittleEndian, "seg"),
}
_DRAWN = 4  # different images; drawing one of 2000 x 2000 takes seconds
_SECONDS = 1.0  # shortest turn of the network alone


def measure_folder(bench: Bench) -> Iterator[Contest]:
    """One contest for each width: the network alone, and `predict_dicom` with several input and output formats."""
    settings = bench.settings
    check_system()
    start_server({format for _, format in _WAYS.values()})
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        folders = {syntax: Path(name) / syntax for syntax, _ in _WAYS.values()}
        write_files(folders, settings.num_files, settings.file_size, bench.recipe.seed)
        for width in bench.widths:
            found = compete(_enter(bench, width, folders, Path(name)), settings.folder_turns, 0.0)
            rows, columns = bench.model[0].preprocess.size
            files = f"{settings.num_files} files of {settings.file_size} rows"
            yield Contest("folder", f"width {width}, {rows} x {columns}, {files}", found, NETWORK)


def write_files(folders: Mapping[UID, Path], number: int, size: int, seed: int) -> None:
    """Write `number` phantoms of `size` rows into each folder, in its transfer syntax. Synthetic, not clinical.

    A few different images are repeated; each file is a separate DICOM object.
    """
    for folder in folders.values():
        folder.mkdir(parents=True)
    for first in range(min(_DRAWN, number)):
        phantom = draw_phantom(np.random.default_rng([seed, first]), size)
        for syntax, folder in folders.items():
            coat = Coat("DX", "MONOCHROME2", "detector", syntax)
            dataset = build_dicom(phantom, coat, "benchmark", [str(seed), str(first)])
            for index in range(first, number, _DRAWN):
                for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
                    setattr(dataset, keyword, generate_uid(entropy_srcs=[keyword, str(seed), str(index)]))
                dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
                dataset.PatientID = f"benchmark-{index:04d}"
                with open_atomically(folder / f"{index:04d}.dcm") as file:
                    dataset.save_as(file, enforce_file_format=True)


def _enter(bench: Bench, width: int, folders: Mapping[UID, Path], scratch: Path) -> list[Contestant]:
    """The network at that width, on the backend that `predict_dicom` would choose, alone and with each folder."""
    network, (card, _) = bench.network(width), bench.model
    reading = card.reading.model_copy(update={"presentation_intent": ("FOR PRESENTATION",)})
    accepts = Accepts(modalities=(), body_parts=(), views=())  # accepts the phantoms with any model
    card = card.model_copy(update={"model": network.config, "accepts": accepts, "reading": reading})
    model = LoadedModel(card, (network,), (None,), "benchmark")
    config = FolderPredictConfig(device=bench.recipe.train.device)
    predictor = build_predictor(model, build_backend(config, model), config)
    shape = network.in_channels, *card.preprocess.size
    images = torch.rand(predictor.batch_size if bench.device.type == "cuda" else 1, *shape)
    gflop, once = count_gflop(network, shape), timed(lambda: predictor.forwards[0](images), bench.device)
    alone = Contestant(NETWORK, gflop, turn=lambda: _repeat(once) / len(images), warm_up=once)
    entered = [replace(alone, tell=lambda _: {"backend": predictor.backend})]
    for name, (syntax, format) in _WAYS.items():
        run = FolderRun(model, predictor, folders[syntax], scratch / f"width{width}" / name, format)
        entered.append(run.enter(name, gflop))
    return entered


def _repeat(turn: Turn) -> float:
    """Mean seconds of a turn, repeated for at least a second."""
    seconds = [turn()]
    while sum(seconds) < _SECONDS:
        seconds.append(turn())
    return sum(seconds) / len(seconds)


@dataclass
class FolderRun:
    """Predicts files as `predict_dicom` does, each time into a new folder below `output`."""

    model: LoadedModel
    predictor: Predictor
    files: Path
    output: Path
    format: Format
    details: Details = field(default_factory=Details)
    """Details of the last turn: shares of its time, and the rate without start-up."""

    def enter(self, name: str, gflop: float) -> Contestant:
        """A contestant without a warm-up turn, since a turn is long."""
        return Contestant(name, gflop, turn=self.turn, warm_up=lambda: None, tell=lambda _: self.details)

    def turn(self) -> float:
        """Seconds per image. Raises `DataError` if none of the files is predicted."""
        self.output.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.output))
        given, report = InputConfig(dir=self.files), ReportConfig()
        output = PredictOutputConfig(dir=folder, formats=(self.format,))
        job = build_job(self.model, self.predictor.backend, self.predictor.decision, given, output, report)
        with Journal(folder / JOURNAL_NAME) as journal, Workers(None, given, folder) as workers:
            prediction = FolderPrediction(job, self.predictor, workers, journal)
            *_, tally = report_passes(prediction, folder, given, report, {}, quiet=True)
            assert isinstance(tally, Tally)
            seconds = tally.seconds
        if not tally.predicted:
            reasons = dict(sorted(tally.reasons.items()))
            raise DataError(f"none of the benchmark's DICOM files was predicted: {reasons}")
        self.details = describe(tally.predicted, seconds, asdict(prediction.seconds))
        return seconds / tally.predicted


def describe(predicted: int, seconds: float, spent: Mapping[str, float]) -> Details:
    """The share of each stage in a folder's time, from the seconds `spent` on each, and the rate without start-up."""
    shares = {name: round(own / seconds, 3) for name, own in spent.items()}
    return {"shares": shares, "steady_images_per_second": predicted / (seconds - spent["start"])}
