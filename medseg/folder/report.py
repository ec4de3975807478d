"""The report of a prediction: a row for each file, a summary, and a text for the terminal."""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.errors import ConfigError
from medseg.folder.handover import Outcome
from medseg.folder.index import Firsts
from medseg.folder.job import Job
from medseg.folder.journal import Journal
from medseg.folder.progress import Progress, Tally
from medseg.folder.receipt import Proof
from medseg.folder.record import Record
from medseg.folder.source import Shard
from medseg.folder.stages import FolderPrediction
from medseg.folder.walk import Entry
from medseg.folder.watch import watch
from medseg.inference.config import InputConfig
from medseg.notice import RESEARCH_USE
from medseg.output.config import ReportConfig
from medseg.output.folder import set_aside
from medseg.output.report import SHARD_COLUMNS, Cell, Report, encode_path, hash_path, name_columns
from medseg.receipt.receipt import RECEIPT, Receipt

ROOT = b"input"
"""Path of the journal's record that identifies the input folder, and the shard of it."""
DUPLICATE = "duplicate of "
"""Start of the warning that names an earlier row with the same image."""
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
    job = prediction.job
    source, shard = job.source, job.source.shard
    claim = {"root": hashlib.sha256(source.identity).hexdigest()}
    claim_root(prediction.journal, folder, claim | ({} if shard is None else {"shard": str(shard), "key": job.key}))
    passes: Iterable[Iterable[Entry]] = [source]
    if input.watch:
        passes = watch(source, prediction.is_known, input, stopped)
    for entries in passes:
        hashed, hidden = report.paths == "hashed", quiet or input.watch
        tally = yield from _report_pass(prediction, folder, entries, hashed, settings, weights, stopped, quiet=hidden)
        if tally.predicted or not input.watch:
            yield tally


def claim_root(journal: Journal, folder: Path, claim: Mapping[str, str]) -> None:
    """Record what the results in `folder` belong to: `root`, the SHA-256 of the source; `shard` and `key` of a shard.

    An existing report of another source is moved aside. Raises `ConfigError` if the folder has another shard.
    """
    earlier = journal.find(ROOT)
    if earlier is not None and "shard" in {*earlier, *claim}:
        before, now = ({name: of.get(name) for name in ("root", "shard")} for of in (earlier, claim))
        if before != now:
            raise ConfigError(_refuse(folder, before["shard"], now["shard"]))
    if earlier is not None and earlier["root"] != claim["root"]:
        set_aside(folder, ("report.csv", "report.jsonl", "summary.json"))
    if earlier != claim:
        journal.append(ROOT, claim)


def _refuse(folder: Path, before: str | None, now: str | None) -> str:
    held, asked = (f"shard {shard}" if shard else "all files" for shard in (before, now))
    found = f"{held} of another input.dir" if before == now else held
    return (
        f"output.dir: {folder}: has the results of {found}, but this run is for {asked}. Choose another output.dir for "
        "each shard, and join them with medseg merge"
    )


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
    is_shard = job.source.shard is not None
    with (
        Progress(tally, job.source.glance(), shown=not quiet) as progress,
        Firsts() as firsts,
        Report(folder, name_columns(job.decision.classes, job.uids, job.reduce, is_shard)) as report,
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
    shard = job.source.shard
    place = {} if shard is None else _name_place(shard, outcome.entry)
    return {
        **record.facts,
        "path": hash_path(path) if hashed else encode_path(path),
        "id": record.id,
        "status": record.status,
        "reason": record.reason,
        "warnings": [*record.warnings, *find_duplicates(firsts, record)],
        "model": job.model,
        "seconds": record.seconds,
        **place,
    }


def find_duplicates(firsts: Firsts, record: Record) -> list[str]:
    """A warning for each earlier row with the same pixels or SOP Instance UID. Call it in the order of the rows."""
    digests = {"pixels": record.pixels, "instance": record.instance}
    same = {firsts.first(f"{name} {digest}", record.id) for name, digest in digests.items() if digest}
    return sorted(f"{DUPLICATE}{first}" for first in same if first)


def _name_place(shard: Shard, entry: Entry) -> dict[str, str]:
    """The columns of a shard. `1/4` would be a date in a spreadsheet."""
    values = f"{shard.index} of {shard.number}", ".".join(map(str, entry.position))
    return dict(zip(SHARD_COLUMNS, values, strict=True))


def _summarize(prediction: FolderPrediction, tally: Tally, settings: dict[str, Any], hashed: bool) -> dict[str, Any]:
    job, seconds = prediction.job, tally.seconds
    if hashed:
        for section, key in (("input", "dir"), ("output", "dir"), ("folder", "results")):
            if (place := settings.get(section, {}).get(key)) is not None:
                settings = {**settings, section: {**settings[section], key: hash_path(os.fsencode(place))}}
    return {
        "files": tally.statuses.total(),
        "complete": prediction.complete,
        **({} if job.source.shard is None else {"shard": str(job.source.shard)}),
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
