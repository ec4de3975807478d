"""Checks of images: gray levels, sizes, spacing, tags."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import median
from typing import TypeVar

from medseg.checks.survey import CaseSurvey
from medseg.data.findings import Findings

_FEW_LEVELS = 64
"""Six bits: steps between gray levels become visible, and fine detail is smaller than one step."""
_EIGHT_BITS = 256
_GAPS = 0.1
_JUMPS = 0.025
_CLIPPED, _CLIPPED_MASK = 0.3, 0.25
"""Share of pixels with the least or greatest value: in an image, in the area of a mask."""
_OTHER_BITS = 3
_FIELD_MM = (10.0, 2000.0)
"""Plausible longer side of the field of view: from a dental film to more than a leg."""
_OTHER_FIELD, _OTHER_SIZE, _OTHER_SHAPE = 5.0, 1.5, 1.25
"""Factors between an image and the median: longer side in mm, longer side in pixels, aspect ratio."""
_SQUARE = 1.02
_MM = "no pixel spacing"

T = TypeVar("T", bound=Hashable)


def check_pictures(surveys: Sequence[CaseSurvey], findings: Findings) -> None:
    """Note faults of single images, and differences from the other images."""
    _check_gray_levels(surveys, findings)
    _check_saturation(surveys, findings)
    _check_spacing(surveys, findings)
    _check_sizes(surveys, findings)
    for view in {survey.view for survey in surveys}:
        tagged = [(survey, survey.orientation) for survey in surveys if survey.orientation and survey.view == view]
        for survey, usual in _others(tagged):
            findings.add("orientation_tags", survey.id, f"{survey.orientation}; most images have {usual}")
    for survey in surveys:
        if survey.burned_in:
            findings.add("burned_in", survey.id, "BurnedInAnnotation is YES")
        for warning in (text for text in survey.warnings if not text.startswith(_MM)):
            findings.add("reading_note", survey.id, warning)


def _check_gray_levels(surveys: Sequence[CaseSurvey], findings: Findings) -> None:
    usual = median([survey.levels.count for survey in surveys] or [0])
    bits = round(median([survey.levels.bits for survey in surveys] or [0]))
    for survey in surveys:
        levels = survey.levels
        if levels.count < _FEW_LEVELS or (levels.count <= _EIGHT_BITS and levels.count < usual / 3):
            findings.add("few_grey_levels", survey.id, f"{levels.count} gray levels; usual: {usual:.0f}")
        elif abs(levels.bits - bits) >= _OTHER_BITS:
            findings.add("mixed_bit_depth", survey.id, f"{levels.bits} bits; usual: {bits}")
        if levels.gaps > _GAPS and levels.count <= _EIGHT_BITS:  # gaps among more levels do no harm
            findings.add("uneven_grey_levels", survey.id, f"{levels.gaps:.0%} of the gray levels have no pixels")
        if levels.jumps > _JUMPS:
            text = f"{levels.jumps:.1%} of neighboring pixels differ by more than three quarters of the range"
            findings.add("wrapped_grey_levels", survey.id, text)


def _check_saturation(surveys: Sequence[CaseSurvey], findings: Findings) -> None:
    ends = (("least", "darkest"), ("greatest", "brightest"))
    for name, key in ends:
        shares = [getattr(survey.levels, key) for survey in surveys]
        usual = median(shares or [0.0])  # the area outside the patient often has the least value
        for survey, share in zip(surveys, shares, strict=True):
            if share > usual + _CLIPPED:
                text = f"{share:.0%} of the pixels have the {name} value; usual: {usual:.0%}"
                findings.add("saturated", survey.id, text)
    for survey in surveys:
        for label, mask in survey.masks.items():
            if mask.clipped > _CLIPPED_MASK:
                findings.add(
                    "saturated",
                    survey.id,
                    f"{mask.clipped:.0%} of the pixels of {label} have the lowest or the highest value",
                )


def _check_spacing(surveys: Sequence[CaseSurvey], findings: Findings) -> None:
    known = [(survey, survey.spacing_mm) for survey in surveys if survey.spacing_mm]
    sides = [max(rows * s.shape[0], columns * s.shape[1]) for s, (rows, columns) in known]
    usual = median(sides or [1.0])
    for (survey, (row, column)), side in zip(known, sides, strict=True):
        if not _FIELD_MM[0] <= side <= _FIELD_MM[1] or _ratio(side, usual) > _OTHER_FIELD:
            text = f"pixels of {row:g} x {column:g} mm give a longer side of {side:.0f} mm; usual: {usual:.0f} mm"
            findings.add("implausible_spacing", survey.id, text)
        if _ratio(row, column) > _SQUARE:
            findings.add("anisotropic_spacing", survey.id, f"row spacing {row:g} mm, column spacing {column:g} mm")
    for survey, source in _others([(survey, survey.spacing_source) for survey, _ in known]):
        findings.add("mixed_spacing", survey.id, f"{survey.spacing_source}; most images have {source}")
    for survey in surveys if known else ():
        if survey.spacing_mm is None:
            findings.add("absent_spacing", survey.id, f"{len(known)} other images have a pixel spacing")


def _check_sizes(surveys: Sequence[CaseSurvey], findings: Findings) -> None:
    side = median([max(survey.shape) for survey in surveys] or [1])
    shape = median([survey.shape[0] / survey.shape[1] for survey in surveys] or [1.0])
    for survey in surveys:
        rows, columns = survey.shape
        if _ratio(max(rows, columns), side) > _OTHER_SIZE or _ratio(rows / columns, shape) > _OTHER_SHAPE:
            text = f"{rows} x {columns} pixels; usual: longer side {side:.0f}, rows / columns {shape:.2f}"
            findings.add("mixed_sizes", survey.id, text)


def _others(valued: Sequence[tuple[CaseSurvey, T]]) -> list[tuple[CaseSurvey, T]]:
    """Return the surveys whose value differs from the most common value, with the most common value."""
    if not valued:
        return []
    usual = Counter(value for _, value in valued).most_common(1)[0][0]
    return [(survey, usual) for survey, value in valued if value != usual]


def _ratio(first: float, second: float) -> float:
    """Return the greater divided by the lesser of two numbers."""
    return math.exp(abs(math.log(first / second)))
