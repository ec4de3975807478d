"""What a prediction leaves beside the masks: a row for each file, a summary, a line on what was found."""

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.folder.job import Job
from medseg.folder.journal import Firsts
from medseg.folder.progress import Progress, Tally
from medseg.folder.sink import FolderSink
from medseg.folder.source import FolderSource
from medseg.folder.stages import FolderPrediction, Outcome
from medseg.folder.walk import Entry
from medseg.folder.watch import watch
from medseg.inference.decision import Decision
from medseg.inference.models import LoadedModel
from medseg.model.checkpoint import Accepts
from medseg.notice import RESEARCH_USE
from medseg.output.folder import set_aside
from medseg.output.report import Report, encode_path, hash_path, name_columns
from medseg.signals import Interrupted, Pending
from pipelines.predict_config import PredictDicomConfig

RESULTS = ("png/*", "nifti/*", "seg", "overlay")
"""Folders of results below the output folder."""

_ROOT = b"input"  # the path under which the journal keeps which folder was predicted
_PACKAGES = ("medseg", "torch", "pydicom", "highdicom", "SimpleITK", "nibabel", "numpy")


def build_job(config: PredictDicomConfig, model: LoadedModel, backend: str, decision: Decision) -> Job:
    """What every file is treated with: the model's own settings, and what the command may choose."""
    given = {name: getattr(config.input, name) for name in ("modalities", "body_parts", "views")}
    chosen = {name: sorted(v.upper() for v in values) for name, values in given.items() if values is not None}
    return Job(
        source=FolderSource(config.input.dir.absolute(), config.output.dir.absolute()),
        sink=FolderSink(config.output.dir.absolute()),
        model=model.digest,
        backend=backend,
        kinds=tuple(sorted(config.input.kinds)),
        invert=config.input.invert,
        nifti_rows=config.input.nifti_rows,
        exif=config.input.exif,
        reading=model.card.reading,
        accepts=Accepts(**{**model.card.accepts.model_dump(), **chosen}),
        orientations=model.card.orientations,
        ranges=model.card.ranges,
        decision=decision,
        tta=tuple(sorted(model.card.inference.tta)),
        formats=tuple(sorted(config.output.formats)),
        burned_in=config.output.burned_in,
        uids=config.report.uids,
    )


def record_folder(config: PredictDicomConfig, prediction: FolderPrediction, pending: Pending) -> Tally:
    """Predict the folder and write report and summary; with `input.watch` again whenever there is something new.

    Raises `Interrupted` after a signal, once the files under way are done and reported.
    """
    _claim_root(prediction, config.output.dir)
    source, tally = prediction.job.source, Tally()
    passes: Iterable[Iterable[Entry]] = [source]
    if config.input.watch:
        passes = watch(source, prediction.is_known, config.input, pending.came)
    for entries in passes:
        tally = _record_pass(config, prediction, entries, pending.came)
    if pending.signum is not None:
        raise Interrupted(pending.signum)
    return tally


def _claim_root(prediction: FolderPrediction, folder: Path) -> None:
    """Set the report on another input folder aside."""
    digest = hashlib.sha256(prediction.job.source.identity).hexdigest()
    earlier = prediction.journal.find(_ROOT)
    if earlier is None or earlier["root"] != digest:
        if earlier is not None:
            set_aside(folder, ("report.csv", "report.jsonl", "summary.json"))
        prediction.journal.append(_ROOT, {"root": digest})


def _record_pass(
    config: PredictDicomConfig, prediction: FolderPrediction, entries: Iterable[Entry], stopped: Callable[[], bool]
) -> Tally:
    """One walk through the folder."""
    folder, job, tally = config.output.dir, prediction.job, Tally()
    columns = name_columns(job.decision.classes, job.uids)
    with (
        Progress(tally, job.source, shown=not config.input.watch) as progress,
        Firsts() as firsts,
        Report(folder, columns) as report,
        closing(prediction.run(entries, stopped)) as outcomes,
    ):
        for outcome in outcomes:
            record = outcome.record
            report.write(_build_row(outcome, job, firsts, config.report.paths == "hashed"))
            tally.add(record.status, record.reason)
            tally.predicted += outcome.fresh and record.status == "done"
            if record.status == "rejected" and (outcome.fresh or not config.input.watch):
                shown = record.id if config.report.paths == "hashed" else encode_path(outcome.entry.path)
                print(f"rejected {shown}: {record.reason}", file=sys.stderr)
            progress.show()
    if report.changed or not _is_complete(folder / "summary.json"):
        summary = _summarize(config, prediction, tally)
        write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    if tally.predicted or not config.input.watch:
        report_path = Path("report.csv") if config.report.paths == "hashed" else folder / "report.csv"
        print(_describe(tally, report_path), flush=True)
    return tally


def _is_complete(path: Path) -> bool:
    """Whether a summary stands there, of a run that was not stopped."""
    try:
        return bool(json.loads(path.read_text())["complete"])
    except (OSError, ValueError, KeyError):
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


def _summarize(config: PredictDicomConfig, prediction: FolderPrediction, tally: Tally) -> dict[str, Any]:
    job, seconds = prediction.job, tally.seconds
    settings = config.model_dump(mode="json")
    if config.report.paths == "hashed":
        for section in ("input", "output"):
            settings[section]["dir"] = hashlib.sha256(settings[section]["dir"].encode()).hexdigest()[:16]
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


def _describe(tally: Tally, report: Path) -> str:
    """What stands on the terminal at the end."""
    counts = ", ".join(f"{tally.statuses[name]} {name}" for name in ("done", "skipped", "rejected"))
    lines = [f"{counts}; {tally.predicted} predicted now, {tally.predicted / tally.seconds:.1f} images/s"]
    lines += [f"  {reason} ({number})" for reason, number in tally.reasons.most_common(10)]
    return "\n".join([*lines, f"report: {report}", RESEARCH_USE])
