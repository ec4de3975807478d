"""Images and masks that look inverted or turned against the rest of their set, or against each other."""

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
"""Classes known to be darker than what is around them, where bright is dense."""
_FOLLOWS = 0.3
"""A contour that agrees with its image less than this share of what is usual in the set does not follow it."""
_BETTER = 0.25
"""By how much more of that a turned contour must agree before the turn is named."""
_EDGES = 0.2
"""Usual agreement, over all classes, below which contours follow no edges in this set (1: only typical edges)."""
_CLEAR = 2.0
"""How many times as well contours must follow bright insides as dark ones, each under the best turn, or the reverse."""
_UNDECIDED = 0.1
"""Share of cases whose contours follow nothing, however turned, above which nothing is said."""
_FEWEST = 8
_CODES = {"mirrored": "mirrored", "upside down": "upside_down", "turned by 180 degrees": "upside_down"}
"""Turn -> end of the code; any other is `transposed`."""
_RARE, _CHANCE = 0.2, 0.05
"""Share of cases that lie another way, image and mask alike, and sign test of it, above which that is usual."""


def check_likeness(surveys: Sequence[CaseSurvey], classes: Sequence[str], findings: Findings) -> None:
    """Note what looks inverted, turned or out of place. Where a set is too mixed or symmetric to tell, nothing."""
    if not surveys:
        return
    agreement = np.array([[_agreement(survey, label) for label in classes] for survey in surveys])
    agreement = agreement.reshape(len(surveys), len(classes), len(TURNS))  # also where there are no classes
    spoilt = findings.cases("mask_inverted") | findings.cases("full_mask")
    unusable = np.array([survey.id in spoilt for survey in surveys])
    agreement[unusable] = 0
    cosines = compare_pictures(surveys)
    _check_kinds(surveys, cosines, findings)
    inverted = is_opposed(cosines)
    agreement[inverted] *= -1
    usual = _usual_agreement(agreement)
    fit = _measure_fit(agreement, usual)
    exchanged = (fit[:, 0] < -_FOLLOWS) & (cosines <= 0)  # its contours say what the picture as a whole leaves open
    fit[exchanged] *= -1
    inverted |= exchanged
    if any(_AIR.fullmatch(label) and value > _EDGES for label, value in zip(classes, usual, strict=True)):
        inverted = ~inverted  # lungs are brighter than what is around them: it is the majority that is inverted
    for index in np.flatnonzero(inverted).tolist():
        findings.add("image_inverted", surveys[index].id, "fits the others better with dark and bright exchanged")
    outlines = np.array([survey.outlines for survey in surveys]) * ~unusable[:, None, None, None]
    _note_turned("mask", surveys, outlines, fit, findings)
    _note_turned("image", surveys, _crop_pictures(surveys, inverted, outlines), fit, findings)
    _check_contours(surveys, fit, findings)


def compare_pictures(surveys: Sequence[CaseSurvey]) -> NDArray[np.float64]:
    """How well each picture fits the average of the others, as a cosine; 0 where nobody can tell."""
    pictures = np.array([survey.thumbnail - survey.thumbnail.mean() for survey in surveys])
    cosines = find_opposed(pictures)
    return np.zeros(len(surveys)) if cosines is None else cosines


def _agreement(survey: CaseSurvey, label: str) -> NDArray[np.float64]:
    return survey.masks[label].agreement if label in survey.masks else np.zeros(len(TURNS))


def _usual_agreement(agreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each class its median over the cases `(case, class, turn)`, each under the turn that fits it best.

    0 where few cases have the class, or where it is neither bright inside in most of them nor dark.
    """
    signs = np.array([_find_sign(agreement[:, index]) for index in range(agreement.shape[1])])
    best = (agreement * signs[:, None]).sum(axis=1).argmax(axis=1)
    taken = agreement[np.arange(len(agreement)), :, best]
    return np.array(
        [np.median(column[column != 0]) if sign else 0.0 for column, sign in zip(taken.T, signs, strict=True)]
    )


def _find_sign(agreement: NDArray[np.float64]) -> float:
    """Whether a class is bright inside, 1, or dark, -1, by its cases `(case, turn)`; 0 where they do not tell."""
    drawn = agreement[agreement.any(axis=1)]
    if len(drawn) < _FEWEST:
        return 0.0
    bright, dark = np.median(drawn.max(axis=1)), np.median((-drawn).max(axis=1))
    return 1.0 if bright > _CLEAR * dark else -1.0 if dark > _CLEAR * bright else 0.0


def _measure_fit(agreement: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """How well each case's contours `(case, class, turn)` follow its image, 1 being usual, `(case, turn)`.

    NaN where a case has no contour, and everywhere where nobody can tell.
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


def _crop_pictures(
    surveys: Sequence[CaseSurvey], inverted: NDArray[np.bool_], outlines: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The pictures within the box of their masks, `(case, 1, n, n)`, alike in brightness and contrast."""
    pictures = np.array([survey.inside - survey.inside.mean() for survey in surveys])
    pictures /= np.maximum(pictures.std(axis=(1, 2), keepdims=True), 1e-6)
    pictures[inverted] *= -1
    pictures[~outlines.any(axis=(1, 2, 3))] = 0  # without a mask nobody knows where in the picture to look
    return pictures[:, None]


def _note_turned(
    kind: str,
    surveys: Sequence[CaseSurvey],
    pictures: NDArray[np.float32],
    fit: NDArray[np.float64],
    findings: Findings,
) -> None:
    """Note what lies another way: where image and mask disagree as well, and where few do among many that do not.

    Where both lie so in more cases, or in one of a handful, it is how such pictures are: left and right hips, or
    something symmetric that is tilted.
    """
    turns = find_turned(pictures)
    disagree = fit.max(axis=1) > fit[:, 0] + _BETTER  # not so where NaN
    alike = sum(turn is not None for turn, apart in zip(turns, disagree, strict=True) if not apart)
    shown = int(pictures.any(axis=(1, 2, 3)).sum())
    rare = alike <= _RARE * shown and 2 * bdtr(alike, shown, 0.5) < _CHANCE
    for survey, turn, apart, follows in zip(surveys, turns, disagree, fit[:, 0] >= _FOLLOWS, strict=True):
        if turn is not None and (apart or rare):
            text = f"looks {turn} against the {'masks of the ' if kind == 'mask' else ''}others"
            if apart:
                text += "; image and mask do not lie alike"
            elif follows:
                text += "; image and mask lie alike"
            findings.add(f"{kind}_{_CODES.get(turn, 'transposed')}", survey.id, text)


def _check_contours(surveys: Sequence[CaseSurvey], fit: NDArray[np.float64], findings: Findings) -> None:
    names = list(TURNS)
    for survey, fits in zip(surveys, fit, strict=True):
        best = int(fits.argmax())
        better = fits[best] > fits[0] + _BETTER
        if better or fits[0] < _FOLLOWS:
            turned = f" ({fits[best]:.0%} if {names[best]})" if better else ""
            turned = " (as if dark and bright were exchanged)" if fits[0] < -_FOLLOWS else turned
            text = f"contours follow the edges of the image {fits[0]:.0%} as well as usual{turned}"
            findings.add("mask_off_image", survey.id, text)


def _check_kinds(surveys: Sequence[CaseSurvey], cosines: NDArray[np.float64], findings: Findings) -> None:
    """Pictures that resemble the average of the others far less than they do: another view, another body part."""
    likeness = np.abs(cosines)
    scores = score_robustly(np.arctanh(likeness.clip(0, 0.999)).tolist(), 0.05)  # Fisher's z is about normal
    for survey, cosine, score in zip(surveys, likeness.tolist(), scores.tolist(), strict=True):
        if score < -FAR:
            usual = float(np.median(likeness))
            findings.add(
                "outlier_image", survey.id, f"resembles the average of the others {cosine:.2f}, usually {usual:.2f}"
            )
