"""Charts of the trials: Dice over the trials, or Dice and cost with the Pareto front."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medseg.sweep.study import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRIAL, _FRONT, _CHOSEN = "#9c9c9c", "#0072b2", "#d55e00"
_COSTS = {"tflop": "training, TFLOP", "milliseconds": "prediction of one image, ms"}
_DICE = "validation Dice, mean over classes"


def draw_history(trials: Sequence[Trial], chosen: Trial) -> "Figure":
    """The Dice of each complete trial, and the best so far. Pruned and failed trials are marks at the bottom."""
    figure, axes = _begin("Validation Dice of each trial", "trial", _DICE)
    complete = [trial for trial in trials if trial.objectives]
    dice = [trial.objectives["dice"] for trial in complete]
    numbers = [trial.number for trial in complete]
    best = [max(dice[: count + 1]) for count in range(len(dice))]
    axes.step([*numbers, trials[-1].number], [*best, best[-1]], where="post", color=_FRONT, label="best so far")
    axes.scatter(numbers, dice, s=30, color=_TRIAL, label="complete", zorder=3)
    for state, marker in (("pruned", "x"), ("fail", "v")):
        ended = [trial.number for trial in trials if trial.state == state]
        if ended:
            axes.plot(
                ended,
                [0.03] * len(ended),
                marker,
                color=_TRIAL,
                transform=axes.get_xaxis_transform(),
                label=f"{state}, no score",
            )
    _mark(axes, chosen.number, chosen.objectives["dice"], chosen)
    axes.legend(frameon=False, fontsize=9)
    return figure


def draw_front(trials: Sequence[Trial], front: Sequence[Trial], chosen: Trial) -> "Figure":
    """Dice and cost of each complete trial. A line joins the trials that no other one beats in both."""
    cost = next(name for name in chosen.objectives if name != "dice")
    figure, axes = _begin("Dice and cost of each trial", _COSTS[cost], _DICE)
    others = [trial for trial in trials if trial.objectives and trial not in front]
    line = sorted(front, key=lambda trial: trial.objectives[cost])
    for shown, color, label in ((others, _TRIAL, "other trials"), (line, _FRONT, "Pareto front")):
        if shown:
            costs, dice = [t.objectives[cost] for t in shown], [t.objectives["dice"] for t in shown]
            axes.scatter(costs, dice, s=36, color=color, label=label, zorder=3)
    axes.step(
        [trial.objectives[cost] for trial in line],
        [trial.objectives["dice"] for trial in line],
        where="post",
        color=_FRONT,
        linewidth=1.2,
    )
    for trial in line:
        if trial.number != chosen.number:
            _name(axes, trial.objectives[cost], trial.objectives["dice"], str(trial.number), _FRONT)
    _mark(axes, chosen.objectives[cost], chosen.objectives["dice"], chosen)
    axes.margins(0.08)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _begin(title: str, x: str, y: str) -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    if x == "trial":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _mark(axes: "Axes", x: float, y: float, chosen: Trial) -> None:
    """A ring around the trial whose settings are trained again."""
    axes.scatter([x], [y], s=150, facecolors="none", edgecolors=_CHOSEN, linewidths=2, label="retrained", zorder=4)
    _name(axes, x, y, f"trial {chosen.number}", _CHOSEN)


def _name(axes: "Axes", x: float, y: float, text: str, color: str) -> None:
    axes.annotate(text, (x, y), (8, 8), textcoords="offset points", fontsize=9, color=color)
