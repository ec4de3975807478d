"""What a prediction leaves beside the masks: a row for each file, a summary, a line on what was found."""

import hashlib
import json
import platform
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.folder.batch import FolderPrediction, Record
from medseg.folder.job import Job
from medseg.folder.journal import Firsts
from medseg.folder.progress import Progress, Tally
from medseg.folder.walk import Entry, walk
from medseg.folder.watch import watch
from medseg.inference.decision import Decision
from medseg.inference.models import LoadedModel
from medseg.model.checkpoint import Accepts
from medseg.notice import RESEARCH_USE
from medseg.output.folder import set_aside
from medseg.output.report import Report, encode_path, hash_path, name_columns
from medseg.signals import Interrupted, Pending
from pipelines.predict_config import PredictDicomConfig

_ROOT = b"input"  # the path under which the journal keeps which folder was predicted
_PACKAGES = ("medseg", "torch", "pydicom", "highdicom", "SimpleITK", "nibabel", "numpy")


def build_job(config: PredictDicomConfig, model: LoadedModel, backend: str, decision: Decision) -> Job:
    """What every file is treated with: the model's own settings, and what the command may choose."""
    given = {name: getattr(config.input, name) for name in ("modalities", "body_parts", "views")}
    chosen = {name: sorted(v.upper() for v in values) for name, values in given.items() if values is not None}
    return Job(
        root=bytes(config.input.dir.absolute()),
        folder=config.output.dir.absolute(),
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
        formats=tuple(sorted(set(config.output.formats))),
        burned_in=config.output.burned_in,
        uids=config.report.uids,
    )


def record_folder(config: PredictDicomConfig, prediction: FolderPrediction, folder: Path, pending: Pending) -> Tally:
    """Predict the folder and write report and summary; with `input.watch` again whenever there is something new.

    Raises `Interrupted` after a signal, once the files under way are done and reported.
    """
    _claim_root(prediction, folder)
    tally = Tally()
    if not config.input.watch:
        tally = _record_pass(config, prediction, folder, walk(config.input.dir, folder), pending)
    else:
        for entries in watch(lambda: walk(config.input.dir, folder), prediction.is_known, config.input, pending):
            _record_pass(config, prediction, folder, entries, pending)
    if pending.signum is not None:
        raise Interrupted(pending.signum)
    return tally


def _claim_root(prediction: FolderPrediction, folder: Path) -> None:
    """Set the report on another input folder aside."""
    digest = hashlib.sha256(prediction.job.root).hexdigest()
    earlier = prediction.journal.find(_ROOT)
    if earlier is None or earlier["root"] != digest:
        if earlier is not None:
            set_aside(folder, ("report.csv", "report.jsonl", "summary.json"))
        prediction.journal.append(_ROOT, {"root": digest})


def _record_pass(
    config: PredictDicomConfig, prediction: FolderPrediction, folder: Path, entries: Iterable[Entry], pending: Pending
) -> Tally:
    """One walk through the folder."""
    job, tally = prediction.job, Tally()
    columns = name_columns(job.decision.classes, job.uids)
    with (
        Progress(tally, lambda: walk(config.input.dir, folder), shown=not config.input.watch) as progress,
        Firsts() as firsts,
        Report(folder, columns) as report,
        closing(prediction.run(entries, lambda: pending.signum is not None)) as results,
    ):
        for entry, record, fresh in results:
            report.write(_build_row(entry, record, job, firsts, config.report.paths == "hashed"))
            tally.add(record["status"], record["reason"])
            if record["status"] == "rejected" and (fresh or not config.input.watch):
                shown = record["id"] if config.report.paths == "hashed" else encode_path(entry.path)
                print(f"rejected {shown}: {record['reason']}", file=sys.stderr)
            progress.show()
    tally.predicted = prediction.num_predicted
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


def _build_row(entry: Entry, record: Record, job: Job, firsts: Firsts, hashed: bool) -> dict[str, Any]:
    warnings = list(record.get("warnings", ()))
    same = {
        record[name] and firsts.first(f"{name} {record[name]}", record["id"])
        for name in ("pixels", "instance")
        if name in record
    }
    warnings += sorted(f"duplicate of {first}" for first in same if first)
    return {
        **record.get("facts", {}),
        "path": hash_path(entry.path) if hashed else encode_path(entry.path),
        "id": record["id"],
        "status": record["status"],
        "reason": record["reason"],
        "warnings": warnings,
        "model": job.model,
        "seconds": record.get("seconds"),
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
        "shares": {name: round(spent / seconds, 3) for name, spent in asdict(prediction.steps.seconds).items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "research_use": RESEARCH_USE,
    }


def _describe(tally: Tally, report: Path) -> str:
    """What stands on the terminal at the end."""
    counts = ", ".join(f"{tally.statuses[name]} {name}" for name in ("done", "skipped", "rejected"))
    lines = [f"{counts}; {tally.predicted} predicted now, {tally.predicted / tally.seconds:.1f} images/s"]
    lines += [f"  {reason} ({number})" for reason, number in tally.reasons.most_common(10)]
    return "\n".join([*lines, f"report: {report}", RESEARCH_USE])
