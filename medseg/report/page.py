"""report.html: one self-contained page with all results of an evaluation."""

import math
from collections.abc import Sequence
from pathlib import Path

from medseg.atomic import write_text
from medseg.evaluation.result import Evaluation
from medseg.notice import RESEARCH_USE
from medseg.output.drawing import COLORS
from medseg.report.chart import DASHES, MARKERS, Chart
from medseg.report.curves import draw_agreement, draw_reliability, draw_stress, find_floor, measure_drop
from medseg.report.gallery import build_gallery
from medseg.report.metric import Figure, write_number
from medseg.report.page_tables import (
    build_cells,
    build_comparison,
    build_groups,
    build_moves,
    build_summary,
    find_metrics,
)
from medseg.report.pages import render_page

_CONTRAST = 3.2
"""Contrast of a line against the light page; WCAG 2.2 requires 3."""
_WHITE = 0.955
"""Relative luminance of the light page."""
_INCLUDED = "includes cases the model was trained on"


def write_page(evaluation: Evaluation, path: Path) -> None:
    """Write one HTML file that needs no other file and no network. Raises `StorageError`.

    All text from `evaluation` is escaped. The images of its cases take 4 MB at most.
    """
    kinds = find_metrics(evaluation)
    metrics = [metric for kind in kinds for metric in kind]
    units = sorted({case.unit for case in evaluation.cases})
    distances = any(metric.kind.is_distance for metric in metrics)
    page = render_page(
        Path(__file__).with_name("page.html.j2"),
        evaluation=evaluation,
        patients=len({case.patient for case in evaluation.cases}),
        research_use=RESEARCH_USE,
        included=_INCLUDED if evaluation.subset == "all" else "",
        units=units if distances else [],
        colors=[(_to_hex(make_legible(color)), _to_hex(color)) for color in COLORS],
        marks=[(DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)]) for i in range(len(evaluation.classes))],
        summary=build_summary(evaluation),
        groups=build_groups(evaluation),
        comparison=build_comparison(evaluation),
        moves=build_moves(evaluation),
        reliability=_draw_reliability(evaluation),
        thresholds=_list_thresholds(evaluation),
        stress=_draw_stress(evaluation),
        agreement=draw_agreement(evaluation.cases, evaluation.ctr) if evaluation.ctr else None,
        agreement_figures=_list_agreement(evaluation),
        gallery=build_gallery(evaluation),
        kinds=kinds,
        columns=list(evaluation.by),
        rows=list(zip(evaluation.cases, build_cells(evaluation.cases, metrics), strict=True)),
    )
    write_text(path, page)


def make_legible(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """The color, darkened until a line has enough contrast on a light page."""
    for percent in range(100, 0, -2):
        darker = color[0] * percent // 100, color[1] * percent // 100, color[2] * percent // 100
        if (_WHITE + 0.05) / (_measure_luminance(darker) + 0.05) >= _CONTRAST:
            break
    return darker


def _draw_reliability(evaluation: Evaluation) -> list[Chart]:
    return [
        draw_reliability(name, index, evaluation.calibration[name])
        for index, name in enumerate(evaluation.classes)
        if name in evaluation.calibration
    ]


def _draw_stress(evaluation: Evaluation) -> list[Chart]:
    """The stress charts, largest drop first."""
    low = find_floor(evaluation.stress)
    drops = {curve.name: measure_drop(curve) for curve in evaluation.stress}
    curves = sorted(evaluation.stress, key=lambda c: math.inf if math.isnan(drops[c.name]) else -drops[c.name])
    return [draw_stress(curve, evaluation.classes, low) for curve in curves]


def _list_thresholds(evaluation: Evaluation) -> list[tuple[str, int, Sequence[Figure]]]:
    """Per class: name, index, and figures: stored threshold, mean Dice at it, mean Dice at 0.5, difference."""
    return [
        (
            name,
            index,
            [
                write_number(evaluation.thresholds[name][0], 2),
                *(write_number(value, 3) for value in evaluation.thresholds[name][1:]),
                write_number(evaluation.thresholds[name][1] - evaluation.thresholds[name][2], 3, "+"),
            ],
        )
        for index, name in enumerate(evaluation.classes)
        if name in evaluation.thresholds
    ]


def _list_agreement(evaluation: Evaluation) -> list[tuple[str, Figure]]:
    ctr = evaluation.ctr
    if ctr is None:
        return []
    named = {"bias": ctr.bias, "lower limit of agreement": ctr.low, "upper limit of agreement": ctr.high}
    return [(name, write_number(value, 3, "+")) for name, value in named.items()]


def _measure_luminance(color: tuple[int, int, int]) -> float:
    """Relative luminance as defined by WCAG, 0 to 1."""
    shares = (level / 255 for level in color)
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _to_hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
