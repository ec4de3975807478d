"""The results of one file, made in a worker process: masks at the original size, measurements, output files."""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medseg.errors import StorageError
from medseg.folder.examine import Examined, locate
from medseg.folder.job import Job
from medseg.folder.pool import Lost, is_short_of_memory
from medseg.inference.plausibility import find_empty, find_implausible
from medseg.metrics.measurements import MEASUREMENTS, Measured, choose_measurements
from medseg.metrics.shape import measure_areas
from medseg.output.writers import WRITERS, Results


@dataclass
class Written:
    """The results of a file on the disk, with its report data."""

    facts: dict[str, Any]
    warnings: list[str]
    outputs: dict[str, int]
    """Sizes in bytes by path below the output folder."""
    seconds: float


def write_results(job: Job, found: Examined, predicted: NDArray[np.float32], date: datetime) -> Written | Lost:
    """Turn probabilities `(class, rows, columns)` at the network's size into masks; measure and write them.

    Raises `StorageError` if a file cannot be written, and passes on the errors of a lack of memory.
    """
    try:
        return _make_results(job, found, predicted, date)
    except StorageError:
        raise
    except Exception as error:  # an image that a library cannot process must not stop the batch
        if is_short_of_memory(error):
            raise
        return Lost(f"unexpected: {locate(error)}")


def _make_results(job: Job, found: Examined, predicted: NDArray[np.float32], date: datetime) -> Written:
    started = time.perf_counter()
    probabilities = torch.from_numpy(predicted)
    masks = job.decision.masks(probabilities, found.size).numpy()
    classes = job.decision.classes
    warnings = find_empty(masks, classes)
    warnings += find_implausible(job.decision.network_masks(probabilities).numpy(), classes, job.ranges)
    measured = _measure(masks, classes, found.facts.get("view"), warnings)
    numbers = {each.name: measured[each.name].value if each.name in measured else None for each in MEASUREMENTS}
    shown, made_by = tuple(measured.values()), (job.model, job.configuration, found.content, date)
    results = Results(masks, classes, found.spacing_mm, shown, None, *made_by)
    outputs = _write(job, found, results, warnings)
    facts = {**measure_areas(masks, classes, found.spacing_mm), **numbers}
    return Written(facts, warnings, outputs, time.perf_counter() - started)


def _measure(
    masks: NDArray[np.bool_], classes: tuple[str, ...], view: str | None, warnings: list[str]
) -> dict[str, Measured]:
    """The measurements on masks of an image of `view`, by column of the report."""
    found: dict[str, Measured] = {}
    for each in choose_measurements(classes):
        own = (masks[classes.index(name)] for name in each.classes)
        doubts = each.views.get(view or "")
        if doubts is not None and (measured := each.measure(*own)) is not None:
            warnings += [*measured.warnings, *doubts]
            found[each.name] = measured
    return found


def _write(job: Job, found: Examined, results: Results, warnings: list[str]) -> dict[str, int]:
    """Write the formats that the source allows. Returns sizes in bytes by path below the output folder."""
    written: dict[str, int] = {}
    for name, taken in found.taken.items():
        writer = WRITERS[name]
        if (refusal := writer.refuse(found.size)) is not None:
            warnings.append(refusal)
            continue
        for relative, part in writer.name_files(results.classes, found.id).items():
            masks, classes = results.masks[part], results.classes[part]
            writer.write(job.sink.path(relative), replace(results, masks=masks, classes=classes, taken=taken))
            written[relative] = job.sink.size(relative)
    return written
