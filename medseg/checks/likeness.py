"""Checks for images and masks that look inverted or turned, compared with the data set or with each other."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from medseg.checks.outliers import FAR, score_robustly
from medseg.checks.survey import CaseSurvey
from medseg.checks.turns import TURNS, find_opposed, find_turned, is_opposed
from medseg.data.findings import Findings

_AIR = re.compile(r"lungs?|(left|right)[_-]?lung|lung[_-]?(left|right)", re.IGNORECASE)
"""Classes that are darker than their surroundings if bright is dense."""
_FOLLOWS = 0.3
"""Least agreement of a contour with its image, as a share of the usual agreement in the data set."""
_BETTER = 0.25
"""Least gain in that share before a turn of the mask is reported."""
_EDGES = 0.2
"""Least usual agreement, summed over all classes, for contours that follow image edges (1: only typical edges)."""
_CLEAR = 2.0
"""Least ratio between the agreement with bright insides and with dark insides (or the reverse), under the best turn."""
_UNDECIDED = 0.1
"""Largest share of cases whose contours follow no edges under any turn; with more, nothing is reported."""
_FEWEST = 8
_CODES = {"mirrored": "mirrored", "upside down": "upside_down", "turned by 180 degrees": "upside_down"}
"""Turn -> end of the code; other turns are `transposed`."""
_RARE, _CHANCE = 0.2, 0.05
"""Limits of the share, and of its sign test, of cases with image and mask turned alike; above them this is normal."""


def check_likeness(surveys: Sequence[CaseSurvey], classes: Sequence[str], findings: Findings) -> None:
    """Note cases that look inverted, turned or misplaced; nothing if the data set is too mixed or symmetric."""
    if not surveys:
        return
    agreement = np.array([[_agreement(survey, label) for label in classes] for survey in surveys])
    agreement = agreement.reshape(len(surveys), len(classes), len(TURNS))  # also where there are no classes
    spoilt = findings.cases("mask_inverted") | findings.cases("full_mask")
    unusable = np.array([survey.id in spoilt for survey in surveys])
    agreement[unusable] = 0
    cosines = compare_images(surveys)
    _check_kinds(surveys, cosines, findings)
    inverted = is_opposed(cosines)
    agreement[inverted] *= -1
    usual = _usual_agreement(agreement)
    fit = _measure_fit(agreement, usual)
    exchanged = (fit[:, 0] < -_FOLLOWS) & (cosines <= 0)  # the contours decide where the whole image does not
    fit[exchanged] *= -1
    inverted |= exchanged
    if any(_AIR.fullmatch(label) and value > _EDGES for label, value in zip(classes, usual, strict=True)):
        inverted = ~inverted  # lungs are brighter than their surroundings: the majority is inverted
    for index in np.flatnonzero(inverted).tolist():
        findings.add(
            "image_inverted", surveys[index].id, "looks more like the other images if dark and bright are exchanged"
        )
    outlines = np.array([survey.outlines for survey in surveys]) * ~unusable[:, None, None, None]
    _note_turned("mask", surveys, outlines, fit, findings)
    _note_turned("image", surveys, _crop_images(surveys, inverted, outlines), fit, findings)
    _check_contours(surveys, fit, findings)


def compare_images(surveys: Sequence[CaseSurvey]) -> NDArray[np.float64]:
    """Return the cosine of each image with the average of the others; all 0 if the data set gives no answer."""
    images = np.array([survey.thumbnail - survey.thumbnail.mean() for survey in surveys])
    cosines = find_opposed(images)
    return np.zeros(len(surveys)) if cosines is None else cosines


def _agreement(survey: CaseSurvey, label: str) -> NDArray[np.float64]:
    return survey.masks[label].agreement if label in survey.masks else np.zeros(len(TURNS))


def _usual_agreement(agreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median agreement of each class over the cases `(case, class, turn)`, each under its best turn.

    It is 0 if few cases have the class, or if the class is neither clearly bright nor clearly dark inside.
    """
    signs = np.array([_find_sign(agreement[:, index]) for index in range(agreement.shape[1])])
    best = (agreement * signs[:, None]).sum(axis=1).argmax(axis=1)
    taken = agreement[np.arange(len(agreement)), :, best]
    return np.array(
        [np.median(column[column != 0]) if sign else 0.0 for column, sign in zip(taken.T, signs, strict=True)]
    )


def _find_sign(agreement: NDArray[np.float64]) -> float:
    """Return 1 if a class is bright inside, -1 if it is dark, by its cases `(case, turn)`; 0 if undecided."""
    drawn = agreement[agreement.any(axis=1)]
    if len(drawn) < _FEWEST:
        return 0.0
    bright, dark = np.median(drawn.max(axis=1)), np.median((-drawn).max(axis=1))
    return 1.0 if bright > _CLEAR * dark else -1.0 if dark > _CLEAR * bright else 0.0


def _measure_fit(agreement: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how well the contours of each case follow its image, `(case, turn)`; 1 is the usual agreement.

    NaN for a case without a contour, and for all cases if the data set gives no answer.
    """
    weights = np.where(agreement.any(axis=2), np.abs(usual), 0.0).sum(axis=1)
    along = (agreement * np.sign(usual)[:, None]).sum(axis=1)
    fit: NDArray[np.float64] = np.divide(
        along, weights[:, None], out=np.full_like(along, np.nan), where=weights[:, None] > 0
    )
    told = fit[weights > 0].max(axis=1) >= _FOLLOWS
    if np.abs(usual).sum() < _EDGES or len(told) < _FEWEST or told.mean() < 1 - _UNDECIDED:
        return np.full_like(along, np.nan)
    return fit


def _crop_images(
    surveys: Sequence[CaseSurvey], inverted: NDArray[np.bool_], outlines: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the images inside the box of their masks, `(case, 1, n, n)`, with equal brightness and contrast."""
    images = np.array([survey.inside - survey.inside.mean() for survey in surveys])
    images /= np.maximum(images.std(axis=(1, 2), keepdims=True), 1e-6)
    images[inverted] *= -1
    images[~outlines.any(axis=(1, 2, 3))] = 0  # without a mask the box is unknown
    return images[:, None]


def _note_turned(
    kind: str,
    surveys: Sequence[CaseSurvey],
    images: NDArray[np.float32],
    fit: NDArray[np.float64],
    findings: Findings,
) -> None:
    """Note turned images or masks: if image and mask disagree, or if only few among many cases are turned.

    If image and mask are turned alike in more cases, or in one of a few cases, this is normal: left and right hips, or
    a tilted symmetric object.
    """
    turns = find_turned(images)
    disagree = fit.max(axis=1) > fit[:, 0] + _BETTER  # False for NaN
    alike = sum(turn is not None for turn, apart in zip(turns, disagree, strict=True) if not apart)
    shown = int(images.any(axis=(1, 2, 3)).sum())
    rare = alike <= _RARE * shown and 2 * bdtr(alike, shown, 0.5) < _CHANCE
    for survey, turn, apart, follows in zip(surveys, turns, disagree, fit[:, 0] >= _FOLLOWS, strict=True):
        if turn is not None and (apart or rare):
            text = f"looks {turn} compared with the other {'masks' if kind == 'mask' else 'images'}"
            if apart:
                text += "; image and mask have different orientations"
            elif follows:
                text += "; image and mask have the same orientation"
            findings.add(f"{kind}_{_CODES.get(turn, 'transposed')}", survey.id, text)


def _check_contours(surveys: Sequence[CaseSurvey], fit: NDArray[np.float64], findings: Findings) -> None:
    names = list(TURNS)
    for survey, fits in zip(surveys, fit, strict=True):
        best = int(fits.argmax())
        better = fits[best] > fits[0] + _BETTER
        if better or fits[0] < _FOLLOWS:
            turned = f" ({fits[best]:.0%} with the mask {names[best]})" if better else ""
            turned = " (as if dark and bright were exchanged)" if fits[0] < -_FOLLOWS else turned
            text = f"contours follow the image edges at {fits[0]:.0%} of the usual agreement{turned}"
            findings.add("mask_off_image", survey.id, text)


def _check_kinds(surveys: Sequence[CaseSurvey], cosines: NDArray[np.float64], findings: Findings) -> None:
    """Note images that resemble the average image much less than the others do: another view or body part."""
    likeness = np.abs(cosines)
    scores = score_robustly(np.arctanh(likeness.clip(0, 0.999)).tolist(), 0.05)  # Fisher's z is roughly normal
    for survey, cosine, score in zip(surveys, likeness.tolist(), scores.tolist(), strict=True):
        if score < -FAR:
            usual = float(np.median(likeness))
            findings.add(
                "outlier_image", survey.id, f"similarity to the average image {cosine:.2f}; usual: {usual:.2f}"
            )
