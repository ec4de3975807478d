"""End to end: a folder of DICOM files to masks on disk, beside the network's own rate."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from medseg.atomic import open_atomically
from medseg.benchmark.alternation import Times, alternate, timed
from medseg.benchmark.networks import count_own_gflop
from medseg.benchmark.result import Comparison, Row
from medseg.benchmark.subject import Subject
from medseg.errors import DataError, WorkerError
from medseg.inference.backends import Backend
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import load_models
from medseg.model.checkpoint import Accepts, save_checkpoint
from medseg.phantom.chest import draw_phantom
from medseg.phantom.dicom import Coat, build_dicom
from medseg.tracking.config import StoreConfig

NETWORK = "network alone"
_DRAWN = 4  # different pictures; a 2000 x 2000 one takes seconds to draw
_SECONDS = 1.0  # of the network alone, at least, in a turn


@dataclass(frozen=True)
class Way:
    """From which files to which."""

    name: str
    syntax: UID
    format: str


_WAYS = (
    Way("DICOM to PNG", ExplicitVRLittleEndian, "png"),
    Way("JPEG 2000 to PNG", JPEG2000Lossless, "png"),
    Way("DICOM to SEG", ExplicitVRLittleEndian, "seg"),
)


def measure_folder(subject: Subject) -> Iterator[Comparison]:
    """One comparison for each width: the network alone, and `predict_dicom` from and to files of several kinds."""
    settings = subject.settings
    with tempfile.TemporaryDirectory(dir=subject.folder) as name:
        folders = {way.syntax: Path(name) / way.syntax for way in _WAYS}
        write_files(folders, settings.num_files, settings.file_size, subject.recipe.seed)
        for width in subject.widths:
            yield _compare(subject, width, folders, Path(name) / f"width{width}")


def write_files(folders: Mapping[UID, Path], number: int, size: int, seed: int) -> None:
    """`number` phantoms of `size` rows in each folder, in the transfer syntax it stands for. Synthetic, not clinical.

    Few different pictures by turns, each file an object of its own.
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


def _compare(subject: Subject, width: int, folders: Mapping[UID, Path], scratch: Path) -> Comparison:
    settings, (card, _) = subject.settings, subject.model
    network = subject.network(width)
    rows, columns = card.preprocess.size
    scratch.mkdir()
    model = scratch / "model.pt"
    reading = card.reading.model_copy(update={"presentation_intent": ("FOR PRESENTATION",)})
    changes = {"model": network.config, "accepts": Accepts(modalities=(), body_parts=(), views=()), "reading": reading}
    save_checkpoint(model, card.model_copy(update=changes), network.state_dict())  # for these files, whatever it is for
    runs = {
        way.name: FolderRun(model, folders[way.syntax], scratch / way.name, way.format, subject.recipe.train.device)
        for way in _WAYS
    }
    alone = NetworkAlone(runs[_WAYS[0].name], subject.device)
    turns = {name: run.turn for name, run in runs.items()} | {NETWORK: alone.turn}
    times = alternate(turns, settings.folder_turns, 0.0, warm=False)
    gflop = count_own_gflop(network, card.preprocess.size)
    found = [Row(NETWORK, times[NETWORK], gflop, details={"backend": runs[_WAYS[0].name].summary["backend"]})]
    found += [describe_run(name, run, times[name], gflop) for name, run in runs.items()]
    files = f"{settings.num_files} files of {settings.file_size} rows"
    return Comparison("folder", f"width {width}, {rows} x {columns}, {files}", tuple(found), NETWORK)


@dataclass
class FolderRun:
    """`predict_dicom` on a folder, each time into a new one."""

    model: Path
    files: Path
    output: Path
    format: str
    device: str
    summary: dict[str, Any] = field(default_factory=dict)
    """`summary.json` of the last time."""
    count: int = 0

    def turn(self) -> float:
        """Seconds an image, by its own clock, which begins when model and libraries are there."""
        self.count += 1
        output = self.output / str(self.count)
        settings = {
            "model": self.model,
            "input.dir": self.files,
            "output.dir": output,
            "output.formats": f"[{self.format}]",
            "predict.device": self.device,
        }
        run_predict_dicom(*(f"{key}={value}" for key, value in settings.items()))
        self.summary = json.loads((output / "summary.json").read_text())
        if not self.summary["predicted"]:
            raise DataError(
                f"predict_dicom predicted none of the files of benchmark.num_files: {self.summary['reasons']}"
            )
        return float(self.summary["seconds"] / self.summary["predicted"])


class NetworkAlone:
    """The network on the backend that `predict_dicom` chose, on pictures that lie ready."""

    def __init__(self, run: FolderRun, device: torch.device) -> None:
        self.run, self.device = run, device

    def turn(self) -> float:
        """Seconds an image, over at least a second."""
        library, _, precision = self.run.summary["backend"].split("/")
        model = load_models([str(self.run.model)], StoreConfig(), ModelPredictConfig())
        (forward,) = Backend(library, self.device, precision).load_all(model)
        batch = self.run.summary["config"]["predict"]["batch_size"] if self.device.type == "cuda" else 1
        pictures = torch.rand(batch, model.networks[0].in_channels, *model.card.preprocess.size)
        once = timed(lambda: forward(pictures), self.device)
        once()
        seconds = [once()]
        while sum(seconds) < _SECONDS:
            seconds.append(once())
        return sum(seconds) / len(seconds) / batch


def run_predict_dicom(*arguments: str) -> None:
    """Run the command in a process of its own, which ends with this one. Raises `WorkerError` where it fails."""
    command = [sys.executable, "-m", "pipelines.predict_dicom", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise WorkerError(f"predict_dicom ended with {process.returncode}: {said.strip()[-2000:]}")


def describe_run(name: str, run: FolderRun, times: Times, gflop: float) -> Row:
    """Its row: seconds an image with the start in them, the rate without it, and where the time went."""
    shares = run.summary.get("shares", {})
    steady = run.summary["predicted"] / (run.summary["seconds"] * (1 - shares.get("start", 0.0)))
    return Row(name, times, gflop, details={"shares": shares, "steady_images_per_second": steady})
