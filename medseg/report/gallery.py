"""The gallery of an evaluation: worst, median and best cases with the contours of reference and prediction."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray
from PIL import Image

from medseg.evaluation.ranking import choose_cases, rank_cases
from medseg.evaluation.result import CaseResult, Evaluation
from medseg.report.metric import Figure, Metric, group_by_kind, parse_metric
from medseg.report.pages import to_data_uri

_BYTES = 3_000_000
"""Largest size of all images together, before base64 makes them a third larger."""
_SIDES = (512, 448, 384, 320, 256, 192, 128)
_THUMBNAIL = 96
_TOLERANCE = 0.6
"""Largest distance between a drawn contour and the mask's border, in preview pixels: hides the staircase of pixels."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """The contours of one class as SVG paths; an empty mask has an empty path."""

    index: int
    name: str
    reference: str
    prediction: str


@dataclass(frozen=True)
class Place:
    """The rank of a case among all cases."""

    group: str
    """`worst`, `median` or `best`; `changed most` if the case is shown for that reason only."""
    rank: int
    """Rank by Dice; 1 is the worst."""
    score: Figure
    """Mean Dice over classes."""
    moved: bool
    """Whether the case is among those that changed most."""


@dataclass(frozen=True)
class Shown:
    """One case of the gallery."""

    case: CaseResult
    place: Place
    rows: int
    columns: int
    picture: str
    thumbnail: str
    outlines: Sequence[Outline]
    scores: Sequence[tuple[str, Sequence[Figure]]]
    """Label of a metric, and one figure per class."""
    others: Sequence[tuple[str, Figure]]
    """Labels and figures of metrics that belong to no single class."""


def build_gallery(evaluation: Evaluation) -> list[Shown]:
    """The cases that have an image, worst first."""
    places = _place_cases(evaluation)
    shown = [(case, place) for case, place in places if case.picture is not None]
    pictures = _pack([case.picture for case, _ in shown if case.picture is not None])
    return [
        _build_shown(case, place, evaluation.classes, picture)
        for (case, place), picture in zip(shown, pictures, strict=True)
    ]


def trace_contours(mask: NDArray[np.bool_]) -> str:
    """The border of a mask `(rows, columns)` as an SVG path in pixels; (0, 0) is the image's corner."""
    padded = np.pad(mask, 1).astype(np.float64)
    lines = contour_generator(z=padded, name="serial", line_type=LineType.Separate).lines(0.5)
    return "".join(_write_path(_simplify(np.asarray(line) - 0.5)) for line in lines)


def _place_cases(evaluation: Evaluation) -> list[tuple[CaseResult, Place]]:
    """Every case with a Dice, and its place, worst first."""
    ranked = rank_cases(evaluation.cases, evaluation.classes)
    moved = {case for case, *_ in evaluation.comparison.moved} if evaluation.comparison else set()
    extreme = {case.case for case in choose_cases(evaluation.cases, evaluation.classes, evaluation.shown)}
    dice = parse_metric("dice", evaluation.classes)
    placed = []
    for at, (score, case) in enumerate(ranked):
        far = {"worst": at, "median": abs(at - (len(ranked) - 1) / 2), "best": len(ranked) - 1 - at}
        group = "changed most" if case.case in moved - extreme else min(far, key=far.__getitem__)
        placed.append((case, Place(group, at + 1, dice.write(score), case.case in moved)))
    return placed


def _build_shown(case: CaseResult, place: Place, classes: Sequence[str], picture: str) -> Shown:
    assert case.picture is not None
    metrics = [parse_metric(name, classes) for name in case.scores]
    by_kind = group_by_kind(metric for metric in metrics if metric.class_name)
    return Shown(
        case,
        place,
        case.picture.shape[0],
        case.picture.shape[1],
        picture,
        to_data_uri(_encode(_fit(case.picture, _THUMBNAIL)), "image/png"),
        [_trace(case, index, name) for index, name in enumerate(classes)],
        [(group[0].kind.label, [_find_score(case, group, name) for name in classes]) for group in by_kind],
        [(metric.kind.label, metric.write(case.scores[metric.name])) for metric in metrics if not metric.class_name],
    )


def _find_score(case: CaseResult, group: Sequence[Metric], name: str) -> Figure:
    metric = next((metric for metric in group if metric.class_name == name), group[0])
    return metric.write(case.scores[metric.name] if metric.class_name == name else math.nan)


def _trace(case: CaseResult, index: int, name: str) -> Outline:
    reference, prediction = (
        "" if masks is None else trace_contours(masks[index]) for masks in (case.reference, case.prediction)
    )
    return Outline(index, name, reference, prediction)


def _pack(pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
    """The images as data URIs of PNG, at the largest of `_SIDES` at which all of them fit into `_BYTES`."""
    for side in _SIDES:
        encoded = [_encode(_fit(picture, side)) for picture in pictures]
        if sum(map(len, encoded)) <= _BYTES:
            break
    return [to_data_uri(content, "image/png") for content in encoded]


def _fit(picture: NDArray[np.uint8], side: int) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=9)
    return stream.getvalue()


def _simplify(line: Points) -> Points:
    """A simplified line that is nowhere further than `_TOLERANCE` from the points it leaves out.

    Douglas-Peucker algorithm (Cartographica 1973), applied to each half of a ring.
    """
    middle = len(line) // 2
    keep = np.zeros(len(line), np.bool_)
    keep[[0, middle, -1]] = True
    spans = [(0, middle), (middle, len(line) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        along = line[last] - line[first]
        offsets = line[first + 1 : last] - line[first]
        length = float(np.hypot(*along))
        across = np.abs(offsets @ (along[1], -along[0])) / length if length else np.hypot(*offsets.T)
        furthest = int(across.argmax())
        if across[furthest] > _TOLERANCE:
            keep[first + 1 + furthest] = True
            spans += [(first, first + 1 + furthest), (first + 1 + furthest, last)]
    return line[keep]


def _write_path(line: Points) -> str:
    """A closed SVG path with relative steps."""
    x, y = line[0]
    steps = np.diff(line[:-1], axis=0)
    return f"M{x:g} {y:g}l" + " ".join(f"{dx:g} {dy:g}" for dx, dy in steps) + "z" if len(steps) else ""
