"""Examination of one input file, in a worker process: its kind, its report data and its input for the network."""

import hashlib
import os
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.data.frame import Frame
from medseg.data.preprocess import build_input, count_halvings
from medseg.errors import RadiographError
from medseg.folder.job import Job
from medseg.folder.pool import is_short_of_memory
from medseg.folder.screen import list_doubts, name_terms, screen
from medseg.folder.walk import promises_image
from medseg.output.writers import WRITERS, Source, is_own_result, take_sources
from medseg.radiograph import Radiograph, read_radiograph
from medseg.radiograph.dicom.description import Description, describe_dicom
from medseg.radiograph.image import digest_pixels
from medseg.radiograph.kind import identify, identify_content
from medseg.radiograph.source import open_source

_CHANGED = "the file changed while it was read"
_SHORT_OF_MEMORY = "needs more than input.memory_gib"


@dataclass(frozen=True, eq=False)
class Examined:
    """The findings on one file. `image` is set only if the file is to be predicted.

    Only `taken` can contain patient data. It is written into the SEG and nowhere else.
    """

    id: str
    status: str = ""
    """Empty, `skipped`, `rejected`, or `known` if the content is the same as in an earlier run."""
    reason: str = ""
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Values for the columns of the report."""
    certain: bool = False
    """Whether the content is certainly of an image format, whatever the file name is."""
    stat: tuple[int, ...] = ()
    """The fingerprint of the file."""
    content: str = ""
    """SHA-256 of the file if a SEG is written, else empty."""
    pixels: str = ""
    """SHA-256 of the pixels, as they were decoded."""
    instance: str = ""
    """SHA-256 of the SOP Instance UID."""
    size: tuple[int, int] = (0, 0)
    spacing_mm: tuple[float, float] | None = None
    frame: Frame | None = None
    """The part of the image that the network sees."""
    image: NDArray[np.float32] | None = field(default=None, repr=False)
    """`(channel, rows, columns)` at the network's size."""
    taken: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Data that the output formats need from the file, by name of the format."""
    seconds: float = 0.0
    zoomed: bool = False
    """Whether `image` shows the surroundings of the first masks."""


def examine_file(
    job: Job, path: bytes, known: str | None, lost: str | None = None, zoom: Frame | None = None
) -> Examined:
    """Read one file. `known` is its id in an earlier run. The content of a file never raises an error.

    `lost` is the reason why a first attempt ended its process. If it is given, the file is only identified. At a second
    look, `zoom` is the part of the image for the network, and `known` the id at the first look.
    """
    started = time.perf_counter()
    found = Examined(identify_file(path))
    try:
        with job.source.open(path) as file:
            for found in _examine(job, file, path, known, lost, zoom):  # noqa: B007 -- only the last one is needed
                pass
    except RadiographError as error:
        found = _refuse(found, path, error.code, _SHORT_OF_MEMORY if error.code == "memory" else error.reason)
    except OSError as error:
        found = _refuse(found, path, "unreadable", error.strerror or type(error).__name__)
    except Exception as error:  # a bad file must not stop the batch
        if is_short_of_memory(error):
            found = _refuse(found, path, "memory", _SHORT_OF_MEMORY)
        else:
            found = _refuse(found, path, "unexpected", locate(error))
    return replace(found, seconds=time.perf_counter() - started)


def identify_file(path: bytes) -> str:
    """The id of a file that is not opened: 16 hex digits of a hash of its path."""
    return hashlib.sha256(path).hexdigest()[:16]


def _examine(
    job: Job, file: BinaryIO, path: bytes, known: str | None, lost: str | None, zoom: Frame | None
) -> Iterator[Examined]:
    """The findings on an open file, more complete at each step. If a step raises, the earlier findings stay valid."""
    stat = job.source.fingerprint(file)
    yield Examined(identify_file(path), stat=stat)
    id, content = digest_input(file, path, any(WRITERS[name].takes_content for name in job.formats))
    found = Examined(id, content=content, stat=stat)
    if lost is not None:
        yield replace(found, status="rejected", reason=lost)
    elif id == known and zoom is None:
        yield replace(found, status="known")
    elif id != known and zoom is not None:
        raise RadiographError(_CHANGED, "changing")
    else:
        yield found
        yield from _look(job, file, path, found, zoom)
    if job.source.fingerprint(file) != stat:
        raise RadiographError(_CHANGED, "changing")


def _look(job: Job, file: BinaryIO, path: bytes, found: Examined, zoom: Frame | None) -> Iterator[Examined]:
    if file.tell() == 0:  # the digest has read to the end
        raise RadiographError("is empty", "empty")
    file.seek(0)
    yield (found := replace(found, certain=identify_content(file.read(352)) is not None))
    with open_source(file):
        kind = identify(file, os.fsdecode(path))
        yield (found := replace(found, facts={"kind": kind}))
        described = describe_dicom(file) if kind == "dicom" else None
        if described is not None:
            yield (found := _add_header(job, described, found))
        reason = _screen(job, file, kind, described)
    if reason is not None:
        yield replace(found, status="skipped", reason=reason)
        return
    reading: dict[str, Any] = job.reading.model_dump()
    reduce = 0
    if job.reduce and described is not None and described.rows and described.columns:
        shown = (described.rows, described.columns) if zoom is None else zoom.shape
        reduce = count_halvings(shown, job.decision.preprocess)
    found, radiograph = yield from _read(job, file, reading, reduce, found, zoom)
    warnings = list(found.warnings)
    taken = take_sources(
        job.formats, Source(file, radiograph, reading, job.burned_in, Path(os.fsdecode(path)).name), warnings
    )
    yield replace(found, warnings=tuple(warnings), taken=taken)


def _read(
    job: Job, file: BinaryIO, reading: Mapping[str, Any], reduce: int, found: Examined, zoom: Frame | None
) -> Generator[Examined, None, tuple[Examined, Radiograph]]:
    """The findings on the pixels and the network's input. If the exposed field is small, it is read in more detail."""
    options: dict[str, Any] = {"invert": job.invert, "nifti_rows": job.nifti_rows, "exif": job.exif, **reading}
    radiograph, preprocess = read_radiograph(file, **options, reduce=reduce), job.decision.preprocess
    yield (seen := _add_pixels(job, radiograph, found))
    step = radiograph.reduction
    image, frame = build_input(radiograph.pixels, radiograph.padding, preprocess, step, radiograph.size, zoom)
    if step > 1 << (fewer := count_halvings(frame.shape, preprocess)):
        return (yield from _read(job, file, reading, fewer, found, zoom))
    yield (seen := replace(seen, image=image.numpy(), frame=frame, zoomed=zoom is not None))
    return seen, radiograph


def _add_header(job: Job, described: Description, found: Examined) -> Examined:
    facts = {
        **name_terms(described, job.accepts),
        "sop_class": described.sop_class,
        "rows": described.rows,
        "columns": described.columns,
    }
    if job.uids:
        names = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
        facts |= {name: getattr(described, name) for name in names}
    uid = described.sop_instance_uid
    instance = hashlib.sha256(uid.encode()).hexdigest() if uid else ""
    return replace(found, certain=True, facts={**found.facts, **facts}, instance=instance)


def _screen(job: Job, file: BinaryIO, kind: str, described: Description | None) -> str | None:
    """The reason why the file is not for the model; None if it is."""
    if described is None and is_own_result(file, kind):
        return "own-result: a result of an earlier prediction"
    if kind not in job.kinds:
        return f"kind: {kind} is not among input.kinds"
    if described is None:
        return None
    if described.frames > max(1, file.seek(0, os.SEEK_END)):
        raise RadiographError(
            f"the header states {described.frames} frames, but the file has fewer bytes than that", "damaged"
        )
    return screen(described, job.accepts)


def _add_pixels(job: Job, radiograph: Radiograph, found: Examined) -> Examined:
    """`found` with the values that the report needs from an image."""
    rows, columns = radiograph.size
    row_mm, column_mm = radiograph.spacing_mm or (None, None)
    facts = {
        **found.facts,
        "rows": rows,
        "columns": columns,
        "spacing_row_mm": row_mm,
        "spacing_column_mm": column_mm,
        "spacing_source": radiograph.spacing_source,
        "lossy": radiograph.lossy,
        **({"reduction": radiograph.reduction} if job.reduce else {}),
    }
    return replace(
        found,
        size=(rows, columns),
        spacing_mm=radiograph.spacing_mm,
        facts=facts,
        warnings=(*found.warnings, *radiograph.warnings, *list_doubts(radiograph, facts, job.orientations)),
        pixels=digest_pixels(radiograph.pixels),
    )


def _refuse(found: Examined, path: bytes, code: str, reason: str) -> Examined:
    """Reject the file. Skip it instead if neither its name nor its content is that of an image."""
    counts = found.certain or promises_image(path) or code in ("unreadable", "changing", "archive")
    status = "rejected" if counts and code not in ("frames", "color", "intent", "object") else "skipped"
    reason = f"{code if counts else 'not-an-image'}: {reason}"
    return replace(found, status=status, reason=reason, image=None, taken={})


def digest_input(file: BinaryIO, path: bytes, with_content: bool = False) -> tuple[str, str]:
    """The id of the file (16 hex digits of a hash of path and content) and, if asked for, its content's SHA-256."""
    whole, content = hashlib.sha256(path + b"\0"), hashlib.sha256()
    while chunk := file.read(1 << 18):
        whole.update(chunk)
        if with_content:
            content.update(chunk)
    return whole.hexdigest()[:16], content.hexdigest() if with_content else ""


def locate(error: Exception) -> str:
    """The type of an error and its place in the code. The message is left out, because it may contain patient data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""  # noqa: PTH119
    return f"{type(error).__name__}{place}"
