"""Surveys of cases that were never on a disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medseg.checks.duplicates import Fingerprint
from medseg.checks.gray_levels import GrayLevels
from medseg.checks.survey import CaseSurvey, MaskSurvey
from medseg.data.case import Values
from medseg.data.levels import Levels

LEVELS = GrayLevels(count=200, bits=8, gaps=0, jumps=0, darkest=0, brightest=0)


def make_levels(
    name: str,
    *values: float,
    mapped: bool = False,
    lossy: bool = False,
    known: Values = (),
    alone: bool = False,
    total: int | None = None,
) -> Levels:
    """The levels of a file of the values given, ten pixels each."""
    counts = (10,) * len(values)
    return Levels(Path(name), tuple(map(float, values)), counts, total or len(values), mapped, lossy, known, alone)


MASK = MaskSurvey(
    shape=(100, 80),
    levels=(make_levels("usual.png", 0, 255),),
    area=0.2,
    border=0.0,
    center=(0.5, 0.5),
    intensity=0.5,
    clipped=0.0,
    agreement=np.zeros(8),
)


def make_survey(
    name: str, levels: dict[str, Any] | None = None, mask: dict[str, Any] | None = None, **changes: Any
) -> CaseSurvey:
    """The survey of an ordinary case, but for what is changed."""
    survey = CaseSurvey(
        id=name,
        kind="png",
        shape=(100, 80),
        spacing_mm=None,
        spacing_source="none",
        view=("CHEST", "PA"),
        orientation=None,
        burned_in=False,
        warnings=(),
        levels=replace(LEVELS, **(levels or {})),
        fingerprint=Fingerprint(np.ones(64, np.float32), np.zeros(4, np.float16)),
        thumbnail=np.zeros((32, 32), np.float32),
        inside=np.zeros((32, 32), np.float32),
        outlines=np.zeros((1, 32, 32), np.float32),
        masks={"lungs": replace(MASK, **(mask or {}))},
        preview=None,
    )
    return replace(survey, **changes)
