"""The results of one file, made in a worker process: masks at the original size, measurements, output files."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.data.frame import Frame
from medseg.errors import StorageError
from medseg.folder.examine import Examined, locate
from medseg.folder.job import Job
from medseg.folder.pool import Lost, is_short_of_memory
from medseg.inference.segment import segment
from medseg.metrics.measurements import MEASUREMENTS
from medseg.metrics.shape import measure_areas
from medseg.output.writers import Results, write_formats


@dataclass
class Closer:
    """The part of an image that must be predicted, enlarged, before its results are written."""

    frame: Frame
    predicting: float = 0.0
    """As in `Written`."""


@dataclass
class Written:
    """The results of a file on the disk, with its report data."""

    facts: dict[str, Any]
    warnings: list[str]
    outputs: dict[str, int]
    """Sizes in bytes by path below the output folder."""
    digests: dict[str, str]
    """SHA-256 by path below the output folder."""
    seconds: float
    predicting: float = 0.0
    """Seconds in the network, if another process than the one that keeps the journal predicts."""


def write_results(job: Job, found: Examined, predicted: NDArray[np.float32], date: datetime) -> Written | Closer | Lost:
    """Turn probabilities `(class, rows, columns)` at the network's size into masks; measure and write them.

    If a part of the image must be predicted first, enlarged, nothing is written.
    Raises `StorageError` if a file cannot be written, and passes on the errors of a lack of memory.
    """
    try:
        maps, frame = torch.from_numpy(predicted), found.frame
        assert frame is not None  # that of the network's input
        zoom = None if found.zoomed else job.decision.find_zoom(maps, frame)
        return Closer(zoom) if zoom else _make_results(job, found, maps, frame, date)
    except StorageError:
        raise
    except Exception as error:  # an image that a library cannot process must not stop the batch
        if is_short_of_memory(error):
            raise
        return Lost(f"unexpected: {locate(error)}")


def _make_results(job: Job, found: Examined, maps: Tensor, frame: Frame, date: datetime) -> Written:
    started = time.perf_counter()
    classes, view = job.decision.classes, found.facts.get("view")
    segmented = segment(job.decision, job.ranges, maps, frame, view)
    masks, measured, warnings = segmented.masks, segmented.measured, list(segmented.warnings)
    numbers = {each.name: measured[each.name].value if each.name in measured else None for each in MEASUREMENTS}
    shown, made_by = tuple(measured.values()), (job.model, job.configuration, found.content, date)
    results = Results(masks, classes, found.spacing_mm, shown, None, *made_by)
    written = write_formats(found.taken, results, found.id, job.sink.path, warnings)
    facts = {**measure_areas(masks, classes, found.spacing_mm), **numbers}
    stored = {relative: job.sink.store(relative) for relative in written}
    outputs = {relative: size for relative, (size, _) in stored.items()}
    digests = {relative: digest for relative, (_, digest) in stored.items()}
    return Written(facts, warnings, outputs, digests, time.perf_counter() - started)
