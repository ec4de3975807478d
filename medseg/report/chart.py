"""Layout of a chart for an inline SVG: the positions of axes, lines, dots, bars and words."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MARKERS = (
    "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",  # disc
    "m-3-3h6v6h-6z",  # square
    "m0-4l4 7h-8z",  # triangle
    "m0-4.2l4.2 4.2-4.2 4.2-4.2-4.2z",  # diamond
    "m0 4l4-7h-8z",  # triangle on its point
)
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2")
_CHARACTERS = 44
"""Number of characters of an axis label that fit on one line."""


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` linearly to positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Tick:
    """A labeled value on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A marker with a tooltip."""

    path: str
    title: str
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """A curve in the color of class `index`, or in the text color if that is None."""

    path: str
    index: int | None = None
    dots: Sequence[Dot] = ()
    style: str = "solid"
    """`solid`, `faint` or `limit`."""

    @property
    def dash(self) -> str:
        """The dash pattern as an SVG `stroke-dasharray`."""
        return "" if self.index is None else DASHES[self.index % len(DASHES)]


@dataclass(frozen=True)
class Bar:
    """A rectangle that stands on the axis."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Words:
    """A line of text at a position in the chart."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Axes and the drawing between them, in units of the SVG's own `width` and `height`."""

    title: str
    description: str
    """Text alternative for readers who cannot see the chart."""
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    width: float
    height: float
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    words: Sequence[Words] = ()
    note: str = ""
    """Short text beside the title."""
    x_label_lines: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x_label_lines", textwrap.wrap(self.x_label, _CHARACTERS))


def draw_line(x: Scale, y: Scale, points: Iterable[tuple[float, float]]) -> str:
    """The path through the points, interrupted at points that are not finite."""
    steps, pen_is_down = [], False
    for point in points:
        if not all(map(math.isfinite, point)):
            pen_is_down = False
            continue
        steps.append(f"{'L' if pen_is_down else 'M'}{x(point[0]):g} {y(point[1]):g}")
        pen_is_down = True
    return "".join(steps)


def draw_dot(x: Scale, y: Scale, point: tuple[float, float], index: int, title: str, *, hollow: bool = False) -> Dot:
    """The marker of class `index` at a point."""
    return Dot(f"M{x(point[0]):g} {y(point[1]):g}{MARKERS[index % len(MARKERS)]}", title, hollow)


def find_ticks(low: float, high: float, number: int = 5) -> list[float]:
    """About `number` round values (1, 2 or 5 times a power of ten) from `low` to `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / number
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 10) + 0.0 for index in range(first, last + 1)]


def round_outward(low: float, high: float) -> tuple[float, float]:
    """The nearest round values that enclose both."""
    if not high > low:
        return low - 0.5, high + 0.5
    step = (ticks := find_ticks(low, high))[-1] - ticks[-2] if len(find_ticks(low, high)) > 1 else high - low
    return round(math.floor(low / step + 1e-9) * step, 10), round(math.ceil(high / step - 1e-9) * step, 10)


def label_ticks(scale: Scale, values: Iterable[float], apart: float = 0) -> list[Tick]:
    """Ticks with equally many decimals. A tick less than `apart` from the one before is left out."""
    values = list(values)
    decimals = max((len(f"{value:.6g}".partition(".")[2]) for value in values), default=0)
    ticks: list[Tick] = []
    for value in values:
        tick = Tick(scale(value), f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}"))
        if not ticks or abs(tick.at - ticks[-1].at) >= apart:
            ticks.append(tick)
    return ticks
