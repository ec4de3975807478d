"""Panels of horizontal bars, a heading above the bars of each comparison.

Colours are those of Okabe and Ito (2008), which colour-blind people tell apart.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medseg.benchmark.result import Comparison, Row
from medseg.benchmark.training import SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REFERENCE, _OURS, _LIMIT = "#9c9c9c", "#0072b2", "#d55e00"
_SHARES = dict(zip(SHARES, ("#e69f00", "#f0e442", "#56b4e9", "#0072b2", "#cc79a7", "#c8c8c8"), strict=True))
_AROUND = 3.6  # lines that title and axis take
_LEGEND = 0.8  # and a legend below the title
_BAR = 0.72
_SMALL, _NORMAL = 8.5, 9.5


@dataclass(frozen=True)
class BarPanel:
    """One bar a row."""

    title: str
    axis: str
    comparisons: Sequence[Comparison]
    length: Callable[[Comparison, Row], float | None]
    words: Callable[[Comparison, Row], str]
    """What stands at the end of a bar."""

    @property
    def lines(self) -> float:
        """Its height."""
        return _AROUND + _count_lines(self.comparisons)

    def draw(self, axes: "Axes") -> None:
        """Draw it."""
        longest = max((self._reach(c, row) for c, row, _ in _place(self.comparisons)), default=0.0) or 1.0
        for comparison, row, y in _place(self.comparisons):
            length = self.length(comparison, row)
            if length is not None:
                colour = _REFERENCE if row.name.startswith(comparison.reference) else _OURS
                axes.barh(y, length, _BAR, color=colour, hatch="///" if row.times is None else None, edgecolor="white")
            words = self.words(comparison, row)
            colour, style = ("#1a1a1a", "normal") if row.times else ("#6b6b6b", "italic")
            at = (length or 0.0) + 0.012 * longest
            axes.text(at, y, words, va="center", fontsize=_SMALL, color=colour, style=style, bbox=_PAPER)
        for comparison, low, high in _spans(self.comparisons):
            if limit := self._limit(comparison):
                label = f"{comparison.limit_precision} matrix product"
                axes.plot([limit, limit], [low, high], color=_LIMIT, linewidth=1.8, label=label)
        _dress(axes, self.title, self.axis, self.comparisons)
        axes.set_xlim(0, 1.28 * longest)
        if any(self._limit(comparison) for comparison in self.comparisons):
            _explain(axes)

    def _limit(self, comparison: Comparison) -> float:
        """Where the limit stands, 0 where this panel has none."""
        return (comparison.limit.gflops or 0.0) if comparison.limit and self.axis == "GFLOP/s" else 0.0

    def _reach(self, comparison: Comparison, row: Row) -> float:
        return max(self.length(comparison, row) or 0.0, self._limit(comparison))


@dataclass(frozen=True)
class SharePanel:
    """One bar a row that knows the shares of its time, in their colours."""

    title: str
    comparisons: Sequence[Comparison]

    @property
    def lines(self) -> float:
        """Its height."""
        return _AROUND + _LEGEND + _count_lines(self.comparisons)

    def draw(self, axes: "Axes") -> None:
        """Draw it."""
        for _, row, y in _place(self.comparisons):
            left = 0.0
            for name, share in row.details.get("shares", {}).items():
                axes.barh(y, share, _BAR, left=left, color=_SHARES[name], edgecolor="white", label=name)
                if share >= 0.05:
                    colour = "white" if name == "backward" else "#1a1a1a"
                    where = left + share / 2, y
                    axes.text(*where, f"{share:.0%}", ha="center", va="center", fontsize=_SMALL, color=colour)
                left += share
        _dress(axes, self.title, "share of the time of a step", self.comparisons, pad=20)
        axes.set_xlim(0, 1)
        _explain(axes)


_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_ABOVE: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1.0, 0.995),
    "frameon": False,
    "fontsize": _SMALL,
    "borderaxespad": 0.2,
    "handlelength": 1.0,
    "handletextpad": 0.4,
}


def _explain(axes: "Axes") -> None:
    """A legend that names each label once."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), ncols=len(handles), columnspacing=1.2, **_ABOVE)


def _count_lines(comparisons: Sequence[Comparison]) -> int:
    return sum(1 + len(comparison.rows) for comparison in comparisons)


def _place(comparisons: Sequence[Comparison]) -> Iterator[tuple[Comparison, Row, float]]:
    """Each row and where it stands, downwards; above each comparison a line is left for its heading."""
    y = 0.0
    for comparison in comparisons:
        for row in comparison.rows:
            y -= 1
            yield comparison, row, y
        y -= 1


def _spans(comparisons: Sequence[Comparison]) -> Iterator[tuple[Comparison, float, float]]:
    """Each comparison, and where its bars begin and end."""
    for comparison in comparisons:
        places = [y for c, _, y in _place(comparisons) if c is comparison]
        yield comparison, places[0] + 0.5, places[-1] - 0.5


def _dress(axes: "Axes", title: str, label: str, comparisons: Sequence[Comparison], pad: float = 6) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=pad)
    axes.set_xlabel(label, fontsize=_NORMAL)
    placed = list(_place(comparisons))
    axes.set_yticks([y for _, _, y in placed], [row.name for _, row, _ in placed], fontsize=_NORMAL)
    for comparison, top, _ in _spans(comparisons):
        axes.text(0, top + 0.5, comparison.title, va="center", fontsize=_NORMAL, fontweight="bold", color="#333333")
    axes.set_ylim(-_count_lines(comparisons) + 0.3, 0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=_SMALL)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
