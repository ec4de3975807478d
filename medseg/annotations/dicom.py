"""Outlines in DICOM: graphics of presentation states (GSPS), and spatial coordinates of structured reports (SR).

Both count from 0.0, 0.0 at the left top corner of the left top pixel, whose right bottom corner is 1.0, 1.0: PS3.3
C.10.5 (Graphic Annotation Units PIXEL) and C.18.6.1.2. Radiotherapy structure sets are refused: their contours are in
mm of the patient (C.8.8.6), which a CR or DX image, a projection, does not have; no attribute states pixels instead.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from medseg.annotations.geometry import make_ellipse, make_ellipse_of_axes, make_ring
from medseg.annotations.shape import AnnotatedImage, Draft, Ring, Shape, clean
from medseg.errors import RadiographError
from medseg.radiograph.dicom.header import integer, items, numbers, text, uid

_STATES = "1.2.840.10008.5.1.4.1.1.11."
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
_NAMING = ("121071", "363698007", "G-C0E3", "112039")
"""Content items that name a region, the best first: Finding, Finding Site (SCT, SRT), Tracking Identifier."""


def is_outlines(content: Any) -> bool:
    """Return whether a DICOM object is a presentation state, a structured report or a structure set."""
    found = (uid(content, "SOPClassUID") or "") if isinstance(content, Dataset) else ""
    return found.startswith((_STATES, _REPORTS)) or found == _STRUCTURES


def read_outlines(content: Dataset, draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images to which a DICOM object refers. Raises `RadiographError` for a structure set."""
    found = uid(content, "SOPClassUID") or ""
    if found == _STRUCTURES:
        raise RadiographError(
            "is a radiotherapy structure set (RTSTRUCT). Its contours are in patient coordinates, which a CR or DX "
            "image does not have. Export the outlines as DICOM SEG or SR",
            "unsupported",
        )
    shapes: dict[str, list[Shape]] = {}
    regions = _read_state(content, draft) if found.startswith(_STATES) else _read_report(content, draft)
    for target, label, kind, data, closed in regions:
        with draft.reading(target, label):
            shapes.setdefault(target, []).append(Shape(label, (_ring(kind, data, closed),)))
    yield from (AnnotatedImage("", None, tuple(of), uid=target) for target, of in shapes.items())


Region = tuple[str, str, str, tuple[float, ...], bool]
"""SOP Instance UID of the image, label, graphic type, graphic data, and whether the graphic is stated to be filled."""


def _read_state(content: Dataset, draft: Draft) -> Iterator[Region]:
    """Yield the graphics of a presentation state; the label is that of the group, else the name of the layer."""
    groups = {
        integer(group, "GraphicGroupID"): text(group, "GraphicGroupLabel")
        for group in items(content, "GraphicGroupSequence")
    }
    everything = [
        image
        for series in items(content, "ReferencedSeriesSequence")
        for image in items(series, "ReferencedImageSequence")
    ]
    for annotation in items(content, "GraphicAnnotationSequence"):
        layer = text(annotation, "GraphicLayer") or ""
        targets = items(annotation, "ReferencedImageSequence") or everything
        for graphic in items(annotation, "GraphicObjectSequence"):
            label = clean(groups.get(integer(graphic, "GraphicGroupID")) or layer)
            if (units := text(graphic, "GraphicAnnotationUnits")) != "PIXEL":
                draft.note("", label, f"is drawn in units {units}; only PIXEL says where on the image", "shape")
                continue
            for target in filter(None, (uid(image, "ReferencedSOPInstanceUID") for image in targets)):
                filled = text(graphic, "GraphicFilled") == "Y"
                yield target, label, text(graphic, "GraphicType") or "", numbers(graphic, "GraphicData"), filled


def _read_report(content: Dataset, draft: Draft) -> Iterator[Region]:
    """Yield the spatial coordinates of a report; the label is named beside them, else by their own concept."""
    waiting: list[tuple[Dataset, str]] = [(content, "")]
    while waiting:
        item, label = waiting.pop(0)
        inner = items(item, "ContentSequence")
        label = _label(inner) or label
        waiting += [(child, label) for child in inner]
        if text(item, "ValueType") == "SCOORD":
            own = label or _meaning(item, "ConceptNameCodeSequence")
            references = [image for child in inner for image in items(child, "ReferencedSOPSequence")]
            if not references:
                draft.note("", own, "an outline refers to no image", "name")
            for target in filter(None, (uid(image, "ReferencedSOPInstanceUID") for image in references)):
                yield target, own, text(item, "GraphicType") or "", numbers(item, "GraphicData"), False
        elif text(item, "ValueType") == "SCOORD3D":
            draft.note("", label, "an outline is in patient coordinates, which a CR or DX image does not have", "shape")


def _label(siblings: tuple[Dataset, ...]) -> str:
    for wanted in _NAMING:
        for item in siblings:
            if wanted in {text(code, "CodeValue") for code in items(item, "ConceptNameCodeSequence")}:
                return clean(text(item, "TextValue") or _meaning(item, "ConceptCodeSequence"))
    return ""


def _meaning(item: Dataset, keyword: str) -> str:
    return clean(next((text(code, "CodeMeaning") for code in items(item, keyword)), "") or "")


def _ring(kind: str, data: tuple[float, ...], filled: bool) -> Ring:
    points = np.reshape(data, (-1, 2))
    if kind == "CIRCLE":
        radius = float(np.hypot(*(points[1] - points[0])))
        x, y = points[0].tolist()
        return make_ellipse(x, y, radius, radius)
    if kind == "ELLIPSE":
        return make_ellipse_of_axes(points.tolist())
    if kind in ("POLYLINE", "INTERPOLATED") and len(points) and (filled or (points[0] == points[-1]).all()):
        return make_ring(points)
    raise RadiographError(f"an open {kind} covers no area. Close it, or delete it", "no_area")
