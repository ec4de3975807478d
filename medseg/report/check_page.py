"""check.html: the findings of a check, with images of the suspicious cases beside a typical case."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from medseg.atomic import write_text
from medseg.checks.likeness import compare_images
from medseg.checks.survey import CaseSurvey
from medseg.data.findings import Finding
from medseg.data.preview import Preview
from medseg.data.rules import SEVERITIES
from medseg.notice import RESEARCH_USE
from medseg.output.drawing import COLORS
from medseg.report.pages import render_page, to_data_uri

_PICTURES = 11
"""Largest number of suspicious cases with an image per finding; with a typical one they fill rows of 2, 3, 4 or 6."""
_LISTED = 200
"""Largest number of further cases that are listed; check.json lists all."""
_WITHOUT_PICTURES = (
    "layout",
    "manifest",
    "class_name",
    "missing_file",
    "empty_split",
    "absent_spacing",
    "mixed_spacing",
)


@dataclass(frozen=True)
class _Picture:
    """One case on the page; images are data URIs."""

    case: str
    image: str
    contours: str
    typical: bool = False


def write_check_page(
    path: Path,
    totals: Mapping[str, Any],
    findings: Sequence[Finding],
    surveys: Sequence[CaseSurvey],
    classes: Sequence[str],
) -> None:
    """Write one self-contained HTML file; it names patients only as file names do. Raises `StorageError`."""
    previews = {survey.id: survey.preview for survey in surveys if survey.preview}
    typical = _choose_typical(surveys, findings)
    sections = [_build_section(finding, previews, typical) for finding in findings]
    colors = [f"rgb{COLORS[index % len(COLORS)]}" for index in range(len(classes))]
    counts = {severity: sum(finding.severity == severity for finding in findings) for severity in SEVERITIES}
    page = render_page(
        Path(__file__).with_suffix(".html"),
        totals=totals,
        sections=sections,
        counts=counts,
        classes=list(zip(classes, colors, strict=True)),
        research_use=RESEARCH_USE,
    )
    write_text(path, page)


def _build_section(finding: Finding, previews: Mapping[str, Preview], typical: str | None) -> dict[str, Any]:
    pictures = _draw_finding(finding, previews, typical)
    shown = {picture.case for picture in pictures if not picture.typical}
    rest = [(case, reason) for case, reason in finding.reasons.items() if case not in shown]
    return {"finding": finding, "pictures": pictures, "rest": rest[:_LISTED], "left_out": max(0, len(rest) - _LISTED)}


def _choose_typical(surveys: Sequence[CaseSurvey], findings: Sequence[Finding]) -> str | None:
    """The id of the most average case among those with an image and without errors or warnings; None without any."""
    suspicious = {case for finding in findings for case in finding.cases if finding.severity != "info"}
    calm = [
        (len(survey.masks), float(fit), survey.id)
        for survey, fit in zip(surveys, compare_images(surveys), strict=True)
        if survey.preview and survey.id not in suspicious
    ]
    return max(calm)[2] if calm else None


def _draw_finding(finding: Finding, previews: Mapping[str, Preview], typical: str | None) -> list[_Picture]:
    """A typical case, then the first cases of the finding, with pairs side by side. Empty if no case has an image."""
    if finding.code in _WITHOUT_PICTURES:
        return []
    ordered = list(finding.cases)
    if "copies" in finding.code or "patient" in finding.code:
        ordered.sort(key=lambda case: finding.reasons[case])
    shown = [_draw(case, previews[case]) for case in ordered if case in previews][:_PICTURES]
    if shown and typical is not None:
        shown.insert(0, _draw(typical, previews[typical], typical=True))
    return shown


def _draw(case: str, preview: Preview, *, typical: bool = False) -> _Picture:
    contours = to_data_uri(_draw_contours(preview.masks()), "image/png")
    return _Picture(case, to_data_uri(preview.jpeg, "image/jpeg"), contours, typical)


def _draw_contours(masks: NDArray[np.bool_]) -> bytes:
    """A transparent PNG with colored outlines of the masks `(class, rows, columns)`, at twice their size."""
    doubled = masks.repeat(2, axis=1).repeat(2, axis=2)
    places = np.zeros(doubled.shape[1:], np.uint8)
    for index, mask in enumerate(doubled):
        places[mask & ~ndimage.binary_erosion(mask, iterations=2)] = index % len(COLORS) + 1
    picture = Image.fromarray(places, "P")
    picture.putpalette([0, 0, 0, *(level for color in COLORS for level in color)])
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=0, bits=4, optimize=True)
    return stream.getvalue()
