"""A chart of all contests: panels of horizontal bars, with a heading above the bars of each contest.

Colors are from Okabe and Ito (2008), which color-blind people can distinguish.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from medseg.benchmark.config import Part
from medseg.benchmark.contest import Contest, Contestant
from medseg.benchmark.training import SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_REFERENCE, _OURS, _LIMIT = "#9c9c9c", "#0072b2", "#d55e00"
_SHARES = dict(zip(SHARES, ("#e69f00", "#f0e442", "#56b4e9", "#0072b2", "#cc79a7", "#c8c8c8"), strict=True))
_RATE, _SHARE = "GFLOP/s", "share of the step's time"  # axes with more than bars
_AROUND, _LEGEND = 3.6, 0.8  # heights, in lines, of title with axis, and of a legend below the title
_SMALL, _NORMAL = 8.5, 9.5
_INCH_A_LINE, _INCH_A_COLUMN = 0.265, 8.0
_CHARACTERS_A_COLUMN = 95  # in the line on top


_COLUMNS: tuple[tuple[tuple[Part, str, str], ...], ...] = (
    (("limit", "The limit", _RATE), ("prediction", "Prediction: the network alone", _RATE)),
    (
        ("training", "Training", _RATE),
        ("training", "A training step", _SHARE),
        ("folder", "A folder of files to masks on disk", "share of the network's own rate"),
        ("time_to_dice", "Time to a validation Dice", "seconds of training"),
    ),
)


class Panel(NamedTuple):
    """A panel with a bar for each contestant of one part's contests."""

    part: Part
    title: str
    axis: str
    contests: Sequence[Contest]

    @property
    def lines(self) -> list[tuple[Contest, Contestant | None]]:
        """Contest and contestant of each line, top to bottom; a contestant of None is the heading of the contest."""
        return [(contest, who) for contest in self.contests for who in (None, *contest.contestants)]

    @property
    def height(self) -> float:
        """Height in lines."""
        return _AROUND + len(self.lines) + (_LEGEND if self.axis == _SHARE else 0)


def draw_chart(contests: Sequence[Contest], machine: str) -> "Figure":
    """The chart: limit and prediction in one column, other parts in another; parts not measured are left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [[Panel(*names, _choose(contests, *names)) for names in column] for column in _COLUMNS]
    columns = [shown for column in panels if (shown := [panel for panel in column if panel.contests])]
    heights = [sum(panel.height for panel in column) for column in columns]
    size = _INCH_A_COLUMN * len(columns), 0.8 + _INCH_A_LINE * max(heights)
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    named = textwrap.fill(machine, _CHARACTERS_A_COLUMN * len(columns))
    figure.suptitle(named, x=0.008, ha="left", fontsize=10, color="#4d4d4d")
    grid = figure.add_gridspec(1, len(columns))
    for number, (column, used) in enumerate(zip(columns, heights, strict=True)):
        ratios = [*(panel.height for panel in column), max(heights) - used + 1e-3]  # the last row stays empty
        below = grid[number].subgridspec(len(ratios), 1, height_ratios=ratios)
        for index, panel in enumerate(column):
            _draw(panel, figure.add_subplot(below[index]))
    return figure


def _choose(contests: Sequence[Contest], part: Part, _: str, axis: str) -> list[Contest]:
    """The contests of a part; for an axis of shares, only with contestants that have shares."""
    chosen = [contest for contest in contests if contest.part == part]
    if axis != _SHARE:
        return chosen
    return [replace(c, contestants=[who for who in c.contestants if who.details.get("shares")]) for c in chosen]


def _draw(panel: Panel, axes: "Axes") -> None:
    is_shares, limits = panel.axis == _SHARE, [c.limit for c in panel.contests if c.limit and panel.axis == _RATE]
    lengths = [sum(_measure(panel, contest, who).values()) for contest, who in panel.lines if who]
    reach = max(*lengths, *(limit.gflops or 0.0 for limit in limits)) or 1.0
    axes.set_xlim(0, reach if is_shares else 1.28 * reach)
    for y, (contest, who) in enumerate(panel.lines):
        if who is not None:
            _draw_bar(axes, y, contest, who, _measure(panel, contest, who), "" if is_shares else _say(contest, who))
            continue
        axes.text(0, y, contest.title, va="center", fontsize=_NORMAL, fontweight="bold", color="#333333")
        if contest.limit in limits:
            at, ends = contest.limit.gflops or 0.0, (y + 0.5, y + 0.5 + len(contest.contestants))
            label = f"{contest.limit_precision} matrix product"
            axes.plot([at, at], ends, color=_LIMIT, linewidth=1.8, label=label)
    _dress(panel, axes)


def _measure(panel: Panel, contest: Contest, who: Contestant) -> Mapping[str, float]:
    """The lengths of a bar's segments by name; a bar without segments has one unnamed length."""
    if panel.axis == _SHARE:
        return who.details["shares"]
    if contest.part == "time_to_dice":
        return {"": who.seconds or who.at_least or 0.0}
    return {"": (contest.ratio(who) if contest.part == "folder" else who.gflops) or 0.0}


def _draw_bar(
    axes: "Axes", y: int, contest: Contest, who: Contestant, lengths: Mapping[str, float], words: str
) -> None:
    left, own = 0.0, _REFERENCE if who.name.startswith(contest.reference) else _OURS
    color, style, hatch = ("#1a1a1a", "normal", None) if who.turns else ("#6b6b6b", "italic", "///")
    for name, length in lengths.items():
        filled = _SHARES.get(name, own)
        bar = axes.barh(y, length, 0.72, left=left, color=filled, hatch=hatch, edgecolor="white", label=name)
        if name and length >= 0.05:
            inner = "white" if name == "backward" else color
            axes.bar_label(bar, [f"{length:.0%}"], label_type="center", fontsize=_SMALL, color=inner)
        left += length
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    at = left + 0.0094 * axes.get_xlim()[1]
    axes.text(at, y, words, va="center", fontsize=_SMALL, color=color, style=style, bbox=paper if words else None)


def _say(contest: Contest, who: Contestant) -> str:
    """The text at the end of a bar."""
    ratio, is_race = contest.ratio(who), contest.part == "time_to_dice"
    if who.seconds is None:
        return who.note
    if contest.part == "limit":
        return f"{who.gflops:.0f}"
    rate = 1 / who.seconds
    said = f"{who.seconds:.0f} s" if is_race else f"{rate:.3g} images/s" if rate < 1000 else f"{rate:,.0f} images/s"
    if ratio is None or who.name == contest.reference:
        return said
    if is_race:
        return f"{said}, {'more than ' if contest.is_bound else ''}{ratio:.1f} times as fast"
    return f"{ratio:.0%}, {said}" if contest.part == "folder" else f"{ratio:.2f} times, {said}"


def _dress(panel: Panel, axes: "Axes") -> None:
    pad = 20 if panel.axis == _SHARE else 6
    axes.set_title(panel.title, loc="left", fontsize=12, fontweight="bold", pad=pad)
    axes.set_xlabel(panel.axis, fontsize=_NORMAL)
    names = {y: who.name for y, (_, who) in enumerate(panel.lines) if who}
    axes.set_yticks(list(names), list(names.values()), fontsize=_NORMAL)
    axes.set_ylim(len(panel.lines) - 0.3, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=_SMALL)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # keeps each label once
    if handles:
        close = {"borderaxespad": 0.2, "handlelength": 1.0, "handletextpad": 0.4, "columnspacing": 1.2}
        place = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.995), "ncols": len(handles)}
        axes.legend(list(handles.values()), list(handles), frameon=False, fontsize=_SMALL, **place, **close)  # type: ignore[call-overload]
