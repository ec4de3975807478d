"""All comparisons on one picture."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medseg.benchmark.panels import BarPanel, SharePanel
from medseg.benchmark.result import Comparison, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCH_A_LINE, _INCH_A_COLUMN = 0.265, 8.0
_CHARACTERS_A_COLUMN = 95  # of the line on top
_DPI = 110


def draw_chart(comparisons: Sequence[Comparison], machine: str) -> "Figure":
    """Prediction in one column, everything else in another; a part that was not measured is left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = [column for column in _build_columns(comparisons) if column]
    lines = [sum(panel.lines for panel in column) for column in columns]
    size = _INCH_A_COLUMN * len(columns), 0.8 + _INCH_A_LINE * max(lines)
    figure = Figure(figsize=size, layout="constrained", dpi=_DPI)
    FigureCanvasAgg(figure)
    named = textwrap.fill(machine, _CHARACTERS_A_COLUMN * len(columns))
    figure.suptitle(named, x=0.008, ha="left", fontsize=10, color="#4d4d4d")
    grid = figure.add_gridspec(1, len(columns))
    for number, (column, used) in enumerate(zip(columns, lines, strict=True)):
        heights = [*(panel.lines for panel in column), max(lines) - used + 1e-3]  # the last is left empty
        below = grid[number].subgridspec(len(heights), 1, height_ratios=heights)
        for index, panel in enumerate(column):
            panel.draw(figure.add_subplot(below[index]))
    return figure


def _build_columns(comparisons: Sequence[Comparison]) -> tuple[list[BarPanel | SharePanel], ...]:
    part = {name: [c for c in comparisons if c.part == name] for name in {c.part for c in comparisons}}
    left: list[BarPanel | SharePanel] = []
    right: list[BarPanel | SharePanel] = []
    if found := part.get("limit"):
        left.append(BarPanel("The limit", "GFLOP/s", found, _gflops, _product))
    if found := part.get("prediction"):
        left.append(BarPanel("Prediction: the network alone", "GFLOP/s", found, _gflops, _times_as_fast))
    if found := part.get("training"):
        right.append(BarPanel("Training", "GFLOP/s", found, _gflops, _times_as_fast))
        right.append(SharePanel("A training step", [_with_shares(comparison) for comparison in found]))
    if found := part.get("folder"):
        axis = "share of the network's own rate"
        right.append(BarPanel("A folder of files to masks on disk", axis, found, Comparison.ratio, _rate))
    if found := part.get("time_to_dice"):
        right.append(BarPanel("Time to a Dice", "seconds of training", found, _seconds, _reached))
    return left, right


def _with_shares(comparison: Comparison) -> Comparison:
    return replace(comparison, rows=tuple(row for row in comparison.rows if row.details.get("shares")), limit=None)


def _gflops(comparison: Comparison, row: Row) -> float | None:
    return row.gflops


def _seconds(comparison: Comparison, row: Row) -> float | None:
    return row.at_least if row.times is None else row.times.median


def _product(comparison: Comparison, row: Row) -> str:
    return f"{row.gflops:.0f}"


def _times_as_fast(comparison: Comparison, row: Row) -> str:
    if row.times is None:
        return row.note
    rate = f"{_round(1 / row.times.median)} images/s"
    return rate if row.name == comparison.reference else f"{comparison.ratio(row):.2f} times, {rate}"


def _rate(comparison: Comparison, row: Row) -> str:
    share = "" if row.name == comparison.reference else f"{comparison.ratio(row):.0%}, "
    return share + (f"{_round(1 / row.times.median)} images/s" if row.times else row.note)


def _reached(comparison: Comparison, row: Row) -> str:
    if row.times is None:
        return row.note
    ratio = comparison.ratio(row)
    if row.name == comparison.reference or ratio is None:
        return f"{row.times.median:.0f} s"
    return f"{row.times.median:.0f} s, {'more than ' if comparison.is_bound else ''}{ratio:.1f} times sooner"


def _round(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
