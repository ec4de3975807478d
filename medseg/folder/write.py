"""The results of one file, made in a process of their own: masks at the original size, measurements, files."""

import time
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medseg.errors import StorageError
from medseg.folder.examine import Examined, locate
from medseg.folder.job import Job, name_outputs
from medseg.folder.pool import Lost, is_short_of_memory
from medseg.inference.plausibility import find_empty, find_implausible
from medseg.metrics.cardiothoracic import CardiothoracicRatio, measure_ctr
from medseg.metrics.shape import measure_areas
from medseg.output.images import write_mask_nifti, write_mask_png
from medseg.output.overlay import write_overlay

_MAX_NIFTI = 32767


@dataclass
class Written:
    """What stands on the disk for a file."""

    facts: dict[str, Any]
    warnings: list[str]
    outputs: dict[str, int]
    """Sizes in bytes by path below the output folder."""
    seconds: float


def write_results(job: Job, found: Examined, predicted: NDArray[np.float32], date: datetime) -> Written | Lost:
    """Cut probabilities `(class, rows, columns)` of the network's size into masks; measure and write them.

    Raises `StorageError` where a file cannot be written, and what says that memory is short.
    """
    try:
        return _make_results(job, found, predicted, date)
    except StorageError:
        raise
    except Exception as error:  # the batch goes on past a picture that a library cannot cope with
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
    ratio = _measure_ctr(masks, classes, found.facts.get("view"), warnings)
    facts = {**measure_areas(masks, classes, found.spacing_mm), "ctr": ratio.value if ratio else None}
    outputs = _write(job, found, masks, ratio, date, warnings)
    return Written(facts, warnings, outputs, time.perf_counter() - started)


def _measure_ctr(
    masks: NDArray[np.bool_], classes: tuple[str, ...], view: str | None, warnings: list[str]
) -> CardiothoracicRatio | None:
    """The cardiothoracic ratio of a PA view, and of an AP view, which enlarges the heart, with a warning."""
    if view not in ("PA", "AP") or not {"lungs", "heart"} <= set(classes):
        return None
    ratio = measure_ctr(masks[classes.index("lungs")], masks[classes.index("heart")])
    if ratio is not None:
        warnings += ratio.warnings
        if view == "AP":
            warnings.append("ctr of an AP view: the heart appears larger than in a PA view")
    return ratio


def _write(
    job: Job,
    found: Examined,
    masks: NDArray[np.bool_],
    ratio: CardiothoracicRatio | None,
    date: datetime,
    warnings: list[str],
) -> dict[str, int]:
    classes = job.decision.classes
    fits_nifti = max(found.size) <= _MAX_NIFTI
    if "nifti" in job.formats and not fits_nifti:
        warnings.append(f"no NIfTI: a side of more than {_MAX_NIFTI} pixels does not fit the format")
    written: dict[str, int] = {}
    for (kind, name), relative in name_outputs(job.formats, classes, found.id).items():
        path = job.sink.path(relative)
        if kind == "png" and name is not None:
            write_mask_png(path, masks[classes.index(name)])
        elif kind == "nifti" and name is not None and fits_nifti:
            write_mask_nifti(path, masks[classes.index(name)], found.spacing_mm)
        elif kind == "overlay" and found.preview is not None:
            write_overlay(path, found.preview, masks, classes, ratio)
        elif kind == "seg" and found.reference is not None:
            from medseg.output.dicom_seg import Maker, write_segmentation

            maker = Maker(job.model, job.configuration, found.content, date, version("medseg"))
            write_segmentation(path, found.reference, masks, classes, maker)
        else:
            continue
        written[relative] = job.sink.size(relative)
    return written
