"""One file of the input folder, read in a process of its own: what it is, and what the network shall see of it."""

import hashlib
import os
import stat
import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.data.preprocess import build_input
from medseg.errors import RadiographError
from medseg.folder.job import Job
from medseg.folder.pool import is_short_of_memory
from medseg.folder.screen import list_doubts, name_terms, screen
from medseg.folder.walk import promises_image
from medseg.output.writers import WRITERS, Source, is_own_result, take_sources
from medseg.radiograph import Radiograph, read_radiograph
from medseg.radiograph.dicom.description import describe_dicom
from medseg.radiograph.image import digest_pixels
from medseg.radiograph.kind import identify, identify_content
from medseg.radiograph.source import open_source

_SHORT_OF_MEMORY = "needs more than input.memory_gib"


@dataclass
class Examined:
    """What was found; `image` only where the file is to be predicted.

    Nothing in it tells who the patient is but what a SEG has `taken`, which goes there and nowhere else.
    """

    id: str
    status: str = ""
    """Empty, `skipped`, `rejected`, or `known` where the content is that of an earlier run."""
    reason: str = ""
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """Columns of the report."""
    certain: bool = False
    """Whether the content is that of an image format, whatever the name says."""
    stat: tuple[int, ...] = ()
    content: str = ""
    """SHA-256 of the file, for a SEG; else empty."""
    pixels: str = ""
    """SHA-256 of the pixels."""
    instance: str = ""
    """SHA-256 of the SOP Instance UID."""
    size: tuple[int, int] = (0, 0)
    spacing_mm: tuple[float, float] | None = None
    image: NDArray[np.float32] | None = field(default=None, repr=False)
    """`(channel, rows, columns)` at the network's size."""
    taken: dict[str, Any] = field(default_factory=dict, repr=False)
    """What output formats need of the file, by the names of those that can be written."""
    seconds: float = 0.0


def examine_file(job: Job, path: bytes, known: str | None, lost: str | None = None) -> Examined:
    """Read one file; `known` is the id it had in an earlier run. Never raises for what the file holds.

    With `lost`, the reason why a first attempt ended its process, the file is identified and no more.
    """
    started = time.perf_counter()
    found = Examined(identify_file(path))
    try:
        with open(os.fsdecode(os.path.join(job.root, path)), "rb", opener=_open_quietly) as file:  # noqa: PTH118
            found.stat = fingerprint(os.fstat(file.fileno()))
            found.id, found.content = _digest(file, path, any(WRITERS[name].takes_content for name in job.formats))
            if lost is not None:
                found.status, found.reason = "rejected", lost
            elif found.id == known:
                found.status = "known"
            else:
                _examine(job, file, path, found)
            if fingerprint(os.fstat(file.fileno())) != found.stat:
                raise RadiographError("changed while it was read", "changing")
    except RadiographError as error:
        _refuse(found, path, error.code, _SHORT_OF_MEMORY if error.code == "memory" else error.reason)
    except OSError as error:
        _refuse(found, path, "unreadable", error.strerror or type(error).__name__)
    except Exception as error:  # the one place where a batch goes on past a bad file
        if is_short_of_memory(error):
            _refuse(found, path, "memory", _SHORT_OF_MEMORY)
        else:
            _refuse(found, path, "unexpected", locate(error))
    found.seconds = time.perf_counter() - started
    return found


def identify_file(path: bytes) -> str:
    """The id of a file that is not opened: 16 hex digits over its path."""
    return hashlib.sha256(path).hexdigest()[:16]


def _examine(job: Job, file: BinaryIO, path: bytes, found: Examined) -> None:
    if file.tell() == 0:  # after the digest
        raise RadiographError("is empty", "empty")
    file.seek(0)
    found.certain = identify_content(file.read(352)) is not None
    with open_source(file):
        kind = identify(file, os.fsdecode(path))
        found.facts["kind"] = kind
        reason = _screen(job, file, kind, found)
    if reason is not None:
        found.status, found.reason = "skipped", reason
        return
    reading: dict[str, Any] = job.reading.model_dump()
    picture = read_radiograph(file, **reading, invert=job.invert, nifti_rows=job.nifti_rows, exif=job.exif)
    _keep(job, picture, found)
    found.taken = take_sources(job.formats, Source(file, picture, reading, job.burned_in), found.warnings)


def _screen(job: Job, file: BinaryIO, kind: str, found: Examined) -> str | None:
    """Why the file is not for the model, if so; what its header says becomes facts."""
    if kind != "dicom":
        if is_own_result(file, kind):
            return "own-result: is a result of an earlier prediction"
        return None if kind in job.kinds else _other_kind(kind)
    described = describe_dicom(file)
    found.certain = True
    found.facts |= {
        **name_terms(described, job.accepts),
        "sop_class": described.sop_class,
        "rows": described.rows,
        "columns": described.columns,
    }
    if job.uids:
        names = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
        found.facts |= {name: getattr(described, name) for name in names}
    if described.sop_instance_uid:
        found.instance = hashlib.sha256(described.sop_instance_uid.encode()).hexdigest()
    if kind not in job.kinds:
        return _other_kind(kind)
    if described.frames > max(1, os.fstat(file.fileno()).st_size):
        raise RadiographError(f"claims {described.frames} frames, more than it has bytes", "damaged")
    return screen(described, job.accepts)


def _other_kind(kind: str) -> str:
    return f"kind: {kind} is not among input.kinds"


def _keep(job: Job, picture: Radiograph, found: Examined) -> None:
    """What the report and the network need of a picture."""
    found.size = (picture.pixels.shape[0], picture.pixels.shape[1])
    found.spacing_mm = picture.spacing_mm
    row_mm, column_mm = picture.spacing_mm or (None, None)
    found.facts |= {
        "rows": found.size[0],
        "columns": found.size[1],
        "spacing_row_mm": row_mm,
        "spacing_column_mm": column_mm,
        "spacing_source": picture.spacing_source,
        "lossy": picture.lossy,
    }
    found.warnings += [*picture.warnings, *list_doubts(picture, found.facts, job.orientations)]
    found.pixels = digest_pixels(picture.pixels)
    found.image = build_input(picture.pixels, picture.padding, job.decision.preprocess).numpy()


def _refuse(found: Examined, path: bytes, code: str, reason: str) -> None:
    """Reject the file; skip what neither by name nor by content promised to be an image."""
    counts = found.certain or promises_image(path) or code in ("unreadable", "changing")
    found.status = "rejected" if counts and code not in ("frames", "colour", "intent", "object") else "skipped"
    found.reason = f"{code if counts else 'not-an-image'}: {reason}"
    found.image, found.taken = None, {}


def _open_quietly(path: bytes | str, flags: int) -> int:
    """Open without waiting, should the file have become a FIFO since it was looked at; refuse it then."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RadiographError("is not a regular file", "not-regular")
    return descriptor


def fingerprint(status: os.stat_result) -> tuple[int, ...]:
    """What cannot stay the same when a file's content changes: the time of the last change can be set by no one."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(file: BinaryIO, path: bytes, with_content: bool) -> tuple[str, str]:
    """The id of the file, 16 hex digits of SHA-256 over path and content, and, if asked for, that of its content."""
    whole, content = hashlib.sha256(path + b"\0"), hashlib.sha256()
    while chunk := file.read(1 << 18):
        whole.update(chunk)
        if with_content:
            content.update(chunk)
    return whole.hexdigest()[:16], content.hexdigest() if with_content else ""


def locate(error: Exception) -> str:
    """The kind of an error and where it was raised: its words may hold values of the file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""  # noqa: PTH119
    return f"{type(error).__name__}{place}"
