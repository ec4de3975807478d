"""Masks that differ strongly from the other masks of their class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.checks.survey import CaseSurvey, MaskSurvey
from medseg.data.findings import Findings

FAR = 4.0
"""Limit in robust standard deviations; in a normal distribution one in 16 000 values lies further out."""
_FEWEST = 8


@dataclass(frozen=True)
class _Feature:
    """A number that describes a mask and that has a usual value in a data set."""

    code: str
    name: str
    measure: Callable[[MaskSurvey], float]
    """Measurement of a mask, a share in [0, 1]."""
    scale: Callable[[float], float]
    """Transformation to a scale on which the values are about normally distributed."""
    least: float
    """Least standard deviation to assume."""


_FEATURES = (
    _Feature("outlier_area", "area", lambda mask: mask.area, lambda area: float(np.log(area)), 0.05),
    _Feature("outlier_position", "distance from the top", lambda mask: mask.center[0], float, 0.01),
    _Feature("outlier_position", "distance from the left", lambda mask: mask.center[1], float, 0.01),
    _Feature("outlier_intensity", "mean gray value", lambda mask: mask.intensity, float, 0.02),
)


def check_outliers(surveys: Sequence[CaseSurvey], classes: Sequence[str], findings: Findings) -> None:
    """Note the masks of each class with unusual area, position or gray values."""
    for label in classes:
        having = [(survey.id, survey.masks[label]) for survey in surveys if label in survey.masks]
        drawn = [(name, mask) for name, mask in having if 0 < mask.area < 1]
        for feature in _FEATURES:
            values = [feature.measure(mask) for _, mask in drawn]
            scores = score_robustly([feature.scale(value) for value in values], feature.least)
            for (name, _), value, score in zip(drawn, values, scores.tolist(), strict=True):
                if abs(score) > FAR:
                    usual = f"usual: {np.median(values):.1%} ({abs(score):.1f} robust standard deviations away)"
                    findings.add(feature.code, name, f"{label}: {feature.name} {value:.1%}; {usual}")


def score_robustly(values: Sequence[float], least: float) -> NDArray[np.float64]:
    """Return the distance of each value from the median in robust standard deviations; all 0 for fewer than 8 values.

    The robust standard deviation is 1.4826 times the median absolute deviation (Iglewicz and Hoaglin, 1993), but at
    least `least`.
    """
    array = np.asarray(values, np.float64)
    if len(array) < _FEWEST:
        return np.zeros(len(array))
    middle = np.median(array)
    deviation = 1.4826 * float(np.median(np.abs(array - middle)))
    return np.asarray((array - middle) / max(deviation, least))
