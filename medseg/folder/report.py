"""The report of a prediction: a row for each file, a summary, and a text for the terminal."""

import hashlib
import json
import logging
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.folder.job import Job
from medseg.folder.journal import Firsts
from medseg.folder.progress import Progress, Tally
from medseg.folder.receipt import Proof
from medseg.folder.stages import FolderPrediction, Outcome
from medseg.folder.walk import Entry
from medseg.folder.watch import watch
from medseg.inference.config import InputConfig
from medseg.notice import RESEARCH_USE
from medseg.output.config import ReportConfig
from medseg.output.folder import set_aside
from medseg.output.report import Cell, Report, encode_path, hash_path, name_columns
from medseg.receipt.receipt import RECEIPT, Receipt

_ROOT = b"input"  # path of the journal's record that identifies the input folder
_PACKAGES = ("medseg", "torch", "pydicom", "highdicom", "SimpleITK", "nibabel", "numpy")
_logger = logging.getLogger(__name__)

Row = Mapping[str, Cell]
"""A row of the report by column, as in `report.jsonl`."""


def report_passes(
    prediction: FolderPrediction,
    folder: Path,
    input: InputConfig,
    report: ReportConfig,
    settings: dict[str, Any],
    stopped: Callable[[], bool] = lambda: False,
    *,
    weights: str | None = None,
    quiet: bool = False,
) -> Iterator[Row | Tally]:
    """Predict the source and write report and summary. With `input.watch`, repeat this whenever there are new files.

    Yields the row of each file, and the tally after each pass; a pass over a watched folder without new files yields no
    tally. `settings` are shown in the summary. With `weights`, the digest of the model's weights, the summary has a
    receipt, unless the pass was stopped. `quiet` hides the progress. After `stopped`, the files already started
    are finished and reported.
    """
    _claim_root(prediction, folder)
    source = prediction.job.source
    passes: Iterable[Iterable[Entry]] = [source]
    if input.watch:
        passes = watch(source, prediction.is_known, input, stopped)
    for entries in passes:
        hashed, hidden = report.paths == "hashed", quiet or input.watch
        tally = yield from _report_pass(prediction, folder, entries, hashed, settings, weights, stopped, quiet=hidden)
        if tally.predicted or not input.watch:
            yield tally


def _claim_root(prediction: FolderPrediction, folder: Path) -> None:
    """Move an existing report aside if it belongs to another input folder."""
    digest = hashlib.sha256(prediction.job.source.identity).hexdigest()
    earlier = prediction.journal.find(_ROOT)
    if earlier is None or earlier["root"] != digest:
        if earlier is not None:
            set_aside(folder, ("report.csv", "report.jsonl", "summary.json"))
        prediction.journal.append(_ROOT, {"root": digest})


def _report_pass(
    prediction: FolderPrediction,
    folder: Path,
    entries: Iterable[Entry],
    hashed: bool,
    settings: dict[str, Any],
    weights: str | None,
    stopped: Callable[[], bool],
    *,
    quiet: bool,
) -> Generator[Row, None, Tally]:
    """Make one pass through the source. `quiet` hides the progress and the warnings that an earlier pass has shown."""
    job, tally, proof = prediction.job, Tally(), Proof(prediction.job)
    with (
        Progress(tally, job.source, shown=not quiet) as progress,
        Firsts() as firsts,
        Report(folder, name_columns(job.decision.classes, job.uids, job.reduce)) as report,
        closing(prediction.run(entries, stopped)) as outcomes,
    ):
        for outcome in outcomes:
            record = outcome.record
            row = report.write(_build_row(outcome, job, firsts, hashed))
            tally.add(record.status, record.reason)
            proof.add(record)
            tally.predicted += outcome.fresh and record.status == "done"
            if record.status == "rejected" and (outcome.fresh or not quiet):
                shown = record.id if hashed else encode_path(outcome.entry.path)
                _logger.warning("rejected %s: %s", shown, record.reason)
            progress.show()
            yield row
    receipt = None if weights is None or not prediction.complete else proof.build(settings, weights)
    if report.changed or not _is_complete(folder / "summary.json", receipt):
        summary = _summarize(prediction, tally, settings, hashed)
        summary |= {} if receipt is None else {RECEIPT: receipt.to_json()}
        write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return tally


def _is_complete(path: Path, receipt: Receipt | None) -> bool:
    """Whether `path` is the summary of a run that was not stopped, and had the same inputs and results."""
    try:
        summary = json.loads(path.read_text())
        if receipt is None or RECEIPT not in summary:
            return bool(summary["complete"])
        written = Receipt.from_json(summary[RECEIPT])
        return bool(summary["complete"]) and (written.data, written.results) == (receipt.data, receipt.results)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _build_row(outcome: Outcome, job: Job, firsts: Firsts, hashed: bool) -> dict[str, Any]:
    path, record = outcome.entry.path, outcome.record
    digests = {"pixels": record.pixels, "instance": record.instance}
    same = {firsts.first(f"{name} {digest}", record.id) for name, digest in digests.items() if digest}
    return {
        **record.facts,
        "path": hash_path(path) if hashed else encode_path(path),
        "id": record.id,
        "status": record.status,
        "reason": record.reason,
        "warnings": [*record.warnings, *sorted(f"duplicate of {first}" for first in same if first)],
        "model": job.model,
        "seconds": record.seconds,
    }


def _summarize(prediction: FolderPrediction, tally: Tally, settings: dict[str, Any], hashed: bool) -> dict[str, Any]:
    job, seconds = prediction.job, tally.seconds
    if hashed:
        for section in settings.keys() & {"input", "output"}:
            digest = hashlib.sha256(settings[section]["dir"].encode()).hexdigest()[:16]
            settings = {**settings, section: {**settings[section], "dir": digest}}
    return {
        "files": tally.statuses.total(),
        "complete": prediction.complete,
        "status": dict(sorted(tally.statuses.items())),
        "reasons": dict(sorted(tally.reasons.items())),
        "model": job.model,
        "classes": list(job.decision.classes),
        "backend": job.backend,
        "config": settings,
        "predicted": tally.predicted,
        "seconds": round(seconds, 3),
        "images_per_second": round(tally.predicted / seconds, 3),
        "shares": {name: round(spent / seconds, 3) for name, spent in asdict(prediction.seconds).items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "research_use": RESEARCH_USE,
    }
