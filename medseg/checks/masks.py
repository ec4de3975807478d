"""Checks of masks: levels, size, empty or full masks."""

from collections.abc import Sequence
from statistics import median

from medseg.checks.levels import check_levels
from medseg.checks.survey import CaseSurvey
from medseg.data.findings import Findings

_BORDER = 0.5
"""A mask that covers more than this share of the image border is probably background, even if organs reach the edge."""


def check_masks(surveys: Sequence[CaseSurvey], classes: Sequence[str], findings: Findings) -> None:
    """Note faults of single masks, and differences from the other masks of their class."""
    for label in classes:
        having = [(survey, survey.masks[label]) for survey in surveys if label in survey.masks]
        border = median([mask.border for _, mask in having] or [0.0])
        for survey, mask in having:
            if mask.area == 0:
                findings.add("empty_mask", survey.id, label)
            elif mask.area == 1:
                findings.add("full_mask", survey.id, label)
            elif mask.border > _BORDER and mask.border > 2 * border:
                text = f"{label}: covers {mask.border:.0%} of the image border; usual: {border:.0%}"
                findings.add("mask_inverted", survey.id, text)
            if mask.shape != survey.shape:
                rows, columns = survey.shape
                text = f"{label}: {mask.shape[0]} x {mask.shape[1]} pixels, but the image has {rows} x {columns}"
                findings.add("mask_resolution", survey.id, text)
    levels = ((s.id, label, each) for s in surveys for label, mask in s.masks.items() for each in mask.levels)
    check_levels(levels, classes, findings)
