"""A large archive, simulated: time and memory of each step of its prediction.

    python -m tests.support.large_archive records 1000000
    python -m tests.support.large_archive files 20000

`records`: neither the input files nor the masks exist. A journal is written as a first run would, then come a second
run over it, in which every file is known, two shards, and their merge. Journal, report, summary, receipt and merge are
real. Not in it: decoding, network, writing masks, the walk through the folder, and the looks at the masks.

`files`: everything is real, but the files have 32 x 32 pixels, and the network is tiny. A first run, a second run, two
shards and their merge.
"""

import hashlib
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from medseg.commands import merge, predict_dicom
from medseg.config import build_config
from medseg.folder.job import Job
from medseg.folder.journal import JOURNAL_NAME, Journal
from medseg.folder.pool import Workers
from medseg.folder.record import Record
from medseg.folder.report import report_passes
from medseg.folder.sink import FolderSink
from medseg.folder.source import FolderSource, Shard
from medseg.folder.stages import FolderPrediction
from medseg.folder.walk import Entry
from medseg.inference.config import InputConfig
from medseg.output.config import ReportConfig
from tests.support.folder_jobs import CLASSES, build_job
from tests.support.model_files import write_model

PARTS = 2
FOLDER = 1000  # files of one folder


@dataclass(frozen=True)
class Names(FolderSource):
    """Files that exist by name only."""

    num_files: int = 0

    def __iter__(self) -> Iterator[Entry]:
        names = (b"%05d/%04d.dcm" % divmod(index, FOLDER) for index in range(self.num_files))
        entries = (Entry(name, (index, 8_000_000, index, index)) for index, name in enumerate(names))
        return entries if self.shard is None else self.shard.pick(entries)


@dataclass(frozen=True)
class Sizes(FolderSink):
    """Results that exist by name only."""

    def size(self, name: str) -> int:
        return 900


def describe(entry: Entry, job: Job, has_outputs: bool) -> dict[str, Any]:
    """The record of a file as a run makes it."""
    id = hashlib.sha256(entry.path).hexdigest()[:16]
    names = [*(f"png/{name}/{id}.png" for name in CLASSES), f"seg/{id}.dcm"] if has_outputs else []
    return Record(
        id=id,
        status="done",
        warnings=("no ctr: the lung mask has 4 pieces, but one or two lungs were expected",),
        facts={
            **{"kind": "dicom", "modality": "DX", "body_part": "CHEST", "view": "PA", "rows": 2022, "columns": 2022},
            **{"sop_class": "DigitalXRayImageStorageForPresentation", "spacing_source": "detector", "lossy": False},
            **{"spacing_row_mm": 0.2, "spacing_column_mm": 0.2, "area_px_heart": 312877, "area_px_lungs": 912877},
            **{"area_mm2_heart": 12515.08, "area_mm2_lungs": 36515.08, "ctr": 0.4871},
        },
        seconds=0.123,
        pixels=hashlib.sha256(b"pixels" + entry.path).hexdigest(),
        instance=hashlib.sha256(b"instance" + entry.path).hexdigest(),
        outputs=dict.fromkeys(names, 900),
        digests={name: hashlib.sha256(name.encode()).hexdigest() for name in names} or None,
        stat=entry.fingerprint or (),
        key=job.key,
        configuration=job.configuration,
        date="2026-11-30T20:00:00+00:00",
    ).as_json()


@contextmanager
def measured(what: str, number: int) -> Iterator[None]:
    """Print seconds, and CPU time and highest memory of the main process."""
    started, before = time.perf_counter(), time.process_time()
    yield
    seconds, own = time.perf_counter() - started, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = f"{1e6 * own / number:7.0f} us a file"
    print(f"{what:34}{seconds:8.1f} s {own:8.1f} s CPU {cost} {peak:6.0f} MiB", flush=True)


def simulate_records(number: int, root: Path) -> None:
    """Everything that grows with the number of files, without files."""

    def write_records(folder: Path, job: Job, has_outputs: bool) -> None:
        with Journal(folder / JOURNAL_NAME) as journal:
            journal.keep_backend(job.backend)
            for entry in job.source:
                journal.append(job.source.identity + b"\0" + entry.path, describe(entry, job, has_outputs))

    def report(folder: Path, job: Job) -> None:
        shard = job.source.shard
        settings: dict[str, Any] = {"input": {"dir": str(root)}, "output": {"dir": str(folder)}, "report": {}}
        settings |= {"predict": {"shard": shard and str(shard)}, "report": ReportConfig().model_dump(mode="json")}
        given = InputConfig(dir=root)
        with Journal(folder / JOURNAL_NAME) as journal, Workers(1, given, folder) as workers:
            predictor: Any = SimpleNamespace(batch_size=4)  # every file is known
            prediction = FolderPrediction(job, predictor, workers, journal)
            for _ in report_passes(prediction, folder, given, ReportConfig(), settings, weights="0" * 64, quiet=True):
                pass

    whole = build_job(root, root / "out", source=Names(root, num_files=number), sink=Sizes(root / "out"))
    with measured("write the journal", number):
        write_records(root / "out", whole, has_outputs=True)
    print(f"the journal has {(root / 'out' / JOURNAL_NAME).stat().st_size / number:.0f} bytes a file")
    with measured("open the journal", number), Journal(root / "out" / JOURNAL_NAME):
        pass
    with measured("second run", number):
        report(root / "out", whole)
    parts = [root / str(index) for index in range(1, PARTS + 1)]
    with measured(f"{PARTS} shards: journals and reports", number):
        for index, folder in enumerate(parts, start=1):
            job = build_job(root, folder, source=Names(root, shard=Shard(index, PARTS), num_files=number))
            write_records(folder, job, has_outputs=False)
            report(folder, job)
    measure_merge(parts, root / "merged", number)


def measure_merge(parts: list[Path], folder: Path, number: int) -> None:
    """Join shards."""
    config = build_config(merge.MergeConfig, [{"inputs": parts, "output.dir": folder}])
    with measured("merge", number):
        assert merge.run(config).statuses["done"] == number


def simulate_files(number: int, root: Path) -> None:
    """Real runs over tiny files."""
    model, inputs = write_model(root / "model.pt"), root / "in"
    for index in range(number):
        path = inputs / f"{index // FOLDER:05}" / f"{index % FOLDER:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(path, compress_level=1)

    def predict(folder: Path, **more: Any) -> None:
        settings = {"model": str(model), "input.dir": inputs, "output.dir": folder, "predict.backend": "torch"}
        settings |= {"predict.precision": "fp32", "output.formats": ["png"], **more}
        config = build_config(predict_dicom.PredictDicomConfig, [settings])
        for count, _ in enumerate(predict_dicom.run(config), start=1):
            if count % max(number // 4, 1) == 0:
                used = Path("/proc/self/statm").read_text().split()[1]
                print(f"  after {count:8} files: {int(used) * resource.getpagesize() / 2**20:.0f} MiB", flush=True)

    for what in ("first run", "second run"):
        with measured(what, number):
            predict(root / "out")
    parts = [root / str(index) for index in range(1, PARTS + 1)]
    with measured(f"{PARTS} shards, one after the other", number):
        for index, folder in enumerate(parts, start=1):
            predict(folder, **{"predict.shard": f"{index}/{PARTS}"})
    measure_merge(parts, root / "merged", number)


if __name__ == "__main__":
    what, number = sys.argv[1:]
    with TemporaryDirectory() as temporary:
        {"records": simulate_records, "files": simulate_files}[what](int(number), Path(temporary))
