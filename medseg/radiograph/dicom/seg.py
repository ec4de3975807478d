"""DICOM Segmentation objects (PS3.3 A.51): one mask per segment, and the UIDs of the source images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.errors import RadiographError
from medseg.radiograph.dicom.decode import decode_frames
from medseg.radiograph.dicom.header import integer, items, numbers, read_dataset, read_pixel_format, text, uid, values
from medseg.radiograph.dicom.read import is_segmentation_class
from medseg.radiograph.image import check_image_size
from medseg.radiograph.kind import identify
from medseg.radiograph.source import open_source

_KEYWORDS = (
    "SOPClassUID",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "SamplesPerPixel",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "SegmentationType",
    "MaximumFractionalValue",
    "SegmentSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ReferencedSeriesSequence",
    "SourceImageSequence",
)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Masks of one DICOM SEG."""

    source_uids: frozenset[str]
    """SOP Instance UIDs of the images that the masks belong to."""
    masks: dict[str, NDArray[np.bool_]]
    """Segment label -> `(rows, columns)`; a segment without a frame is empty."""


def is_segmentation(path: str | os.PathLike[str]) -> bool:
    """Return whether the SOP class of a file is DICOM SEG; False if the file cannot be read."""
    try:
        with open_source(path) as file:
            return identify(file, path) == "dicom" and is_segmentation_class(
                uid(read_dataset(file, ("SOPClassUID",), pixels=False), "SOPClassUID")
            )
    except RadiographError:
        return False


def read_segmentation(path: str | os.PathLike[str]) -> Segmentation:
    """Read the masks of a binary, fractional (cut at half) or label map SEG of single-frame images.

    Raises `RadiographError` for other objects, segments with several frames, and missing or duplicate labels.
    """
    with open_source(path) as file:
        dataset = read_dataset(file, (*_KEYWORDS, "PixelData"), pixels=True)
        if not is_segmentation_class(uid(dataset, "SOPClassUID")):
            raise RadiographError("is not a DICOM segmentation")
        labels = _labels(dataset)
        if not isinstance(next(iter(values(dataset, "PixelData")), None), bytes):
            raise RadiographError("is a DICOM segmentation without pixel data")
        frames = _frames(dataset)
        by_number = dict(_segment_masks(dataset, frames))
        unknown = sorted(set(by_number) - set(labels))
        if unknown:
            raise RadiographError(f"has frames of segment {unknown[0]}, but SegmentSequence does not describe it")
        empty = np.zeros(frames.shape[1:], dtype=np.bool_)
        masks = {label: by_number.get(number, empty) for number, label in labels.items()}
        return Segmentation(_source_uids(dataset), masks)


def _frames(dataset: Dataset) -> NDArray[Any]:
    warnings: list[str] = []
    form = read_pixel_format(dataset, warnings, allocations=(1, 8, 16))
    count = integer(dataset, "NumberOfFrames") or 1
    check_image_size(count * form.rows, form.columns)
    return decode_frames(dataset, form, count, warnings)


def _labels(dataset: Dataset) -> dict[int, str]:
    """Segment number -> segment label; number 0 of a label map is the background (PS3.3 C.8.20.2), and no segment."""
    labels: dict[int, str] = {}
    for segment in items(dataset, "SegmentSequence"):
        number, label = integer(segment, "SegmentNumber"), text(segment, "SegmentLabel")
        if number == 0 and _kind(dataset) == "LABELMAP":
            continue
        if number is None or not label or number in labels or label in labels.values():
            raise RadiographError("SegmentSequence has a missing or duplicate SegmentNumber or SegmentLabel")
        labels[number] = label
    if not labels:
        raise RadiographError("SegmentSequence is missing or empty")
    return labels


def _segment_masks(dataset: Dataset, frames: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield number and mask of each segment that has pixels."""
    kind = _kind(dataset)
    if kind == "LABELMAP":
        if len(frames) > 1:
            raise RadiographError(f"has {len(frames)} frames, but the segmentation of a single image is needed")
        yield from ((int(number), frames[0] == number) for number in np.unique(frames) if number)
        return
    if kind not in ("BINARY", "FRACTIONAL"):
        raise RadiographError("SegmentationType is not BINARY, FRACTIONAL or LABELMAP")
    most = (numbers(dataset, "MaximumFractionalValue") or (255.0,))[0] if kind == "FRACTIONAL" else 1
    segments = _frame_segments(dataset, len(frames))
    if len(set(segments)) < len(segments):
        raise RadiographError("has a segment of several frames, but the segmentation of a single image is needed")
    for number, frame in zip(segments, frames, strict=True):
        yield number, 2 * frame.astype(np.float64) >= most


def _frame_segments(dataset: Dataset, count: int) -> list[int]:
    """Return the segment number of each frame (PS3.3 C.8.20.3.1)."""
    keyword = "SegmentIdentificationSequence"
    shared = items(dataset, "SharedFunctionalGroupsSequence")[:1] or (Dataset(),)
    groups = items(dataset, "PerFrameFunctionalGroupsSequence") or shared * count
    macros = [macro for group in groups for macro in (items(group, keyword) or items(shared[0], keyword))[:1]]
    found = [integer(macro, "ReferencedSegmentNumber") or 0 for macro in macros]
    if len(found) != count:
        raise RadiographError(f"has {count} frames, but names the segments of {len(found)} frames")
    return found


def _kind(dataset: Dataset) -> str:
    return (text(dataset, "SegmentationType") or "").upper()


def _source_uids(dataset: Dataset) -> frozenset[str]:
    """The images that the frames were drawn on; else those that the whole object names; else those of its series.

    A series may hold other images, such as the lateral view.
    """
    groups = [
        group
        for keyword in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
        for group in items(dataset, keyword)
    ]
    derivations = [derivation for group in groups for derivation in items(group, "DerivationImageSequence")]
    series = items(dataset, "ReferencedSeriesSequence")
    for parents, keyword in (
        (derivations, "SourceImageSequence"),
        ([dataset], "SourceImageSequence"),
        (series, "ReferencedInstanceSequence"),
    ):
        references = [reference for parent in parents for reference in items(parent, keyword)]
        if found := {name for reference in references if (name := uid(reference, "ReferencedSOPInstanceUID"))}:
            return frozenset(found)
    return frozenset()
