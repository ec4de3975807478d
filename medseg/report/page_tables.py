"""The tables of an evaluation page: numbers as text, intervals as small bars."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medseg.evaluation.result import CaseResult, Evaluation, Summary
from medseg.metrics.statistics import LEVEL
from medseg.report.chart import Scale, find_ticks, label_ticks, round_outward
from medseg.report.metric import Figure, Metric, MetricKind, group_by_kind, parse_metric, write_p_value

_WIDTH = 160
"""Width of the axis that intervals share, in units of its SVG."""
_TINTED = 0.1
"""Share of a column's values, the worst ones, that is tinted."""


@dataclass(frozen=True)
class Whisker:
    """Positions of a mean and its interval on the axis of its table; None if unknown."""

    middle: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """A metric with its mean and interval."""

    metric: Metric
    mean: Figure
    low: Figure
    high: Figure
    whisker: Whisker
    count: int = 0
    missing: int = 0
    p_value: Figure | None = None
    adjusted: Figure | None = None
    verdict: str = ""
    """`other better`, `this better`, or empty without a significant difference."""


@dataclass(frozen=True)
class Block:
    """The rows of one kind of metric, and the axis that their intervals share."""

    kind: MetricKind
    ticks: Sequence[tuple[float, str]]
    rows: Sequence[Row]
    zero: float | None = None
    """Position of zero difference on the axis."""


@dataclass(frozen=True)
class GroupTable:
    """The means of one kind of metric by the values of a column."""

    kind: MetricKind
    ticks: Sequence[tuple[float, str]]
    metrics: Sequence[Metric]
    rows: Sequence[tuple[str, Sequence[Row | None]]]
    """A value of the column, and one cell per metric."""


@dataclass(frozen=True)
class Move:
    """A case for which the two models differ most."""

    case: str
    metric: Metric
    this: Figure
    other: Figure
    difference: Figure


@dataclass(frozen=True)
class CaseFigure:
    """One figure of the per-case table."""

    figure: Figure
    tinted: bool


def build_summary(evaluation: Evaluation) -> list[Block]:
    """One block per kind of metric, one row per class."""
    by_name = {summary.name: summary for summary in evaluation.summaries}
    blocks = []
    for group in group_by_kind(parse_metric(name, evaluation.classes) for name in by_name):
        axis = _choose_axis(group[0].kind, [by_name[metric.name] for metric in group])
        rows = [_build_row(metric, by_name[metric.name], axis) for metric in group]
        blocks.append(Block(group[0].kind, _label(axis), rows))
    return blocks


def build_groups(evaluation: Evaluation) -> dict[str, list[GroupTable]]:
    """For each column of the manifest, one table per kind of metric."""
    return {column: _build_group(values, evaluation.classes) for column, values in evaluation.by.items()}


def build_comparison(evaluation: Evaluation) -> list[Block]:
    """The differences to another model, one block per kind of metric; empty without another model."""
    comparison = evaluation.comparison
    if comparison is None:
        return []
    blocks = []
    metrics = [parse_metric(name, evaluation.classes) for name in comparison.differences]
    for group in group_by_kind(metrics):
        paired = [comparison.differences[metric.name] for metric in group]
        known = [abs(v) for p in paired for v in (p.difference, p.low, p.high) if math.isfinite(v)]
        reach = max(known, default=0) or 1e-3
        axis = Scale(*round_outward(-reach, reach), 4, _WIDTH - 4)
        rows = [
            Row(
                metric,
                metric.write(pair.difference, signed=True),
                metric.write(pair.low, signed=True),
                metric.write(pair.high, signed=True),
                _place(axis, pair.difference, pair.low, pair.high),
                p_value=write_p_value(pair.p_value),
                adjusted=write_p_value(adjusted := comparison.adjusted.get(metric.name, math.nan)),
                verdict=_judge(metric.kind, pair.difference, adjusted),
            )
            for metric, pair in zip(group, paired, strict=True)
        ]
        blocks.append(Block(group[0].kind, _label(axis), rows, axis(0)))
    return blocks


def build_moves(evaluation: Evaluation) -> list[Move]:
    """The cases that changed most, in the order of `evaluation.comparison.moved`."""
    moves = []
    for case, name, this, other in evaluation.comparison.moved if evaluation.comparison else ():
        metric = parse_metric(name, evaluation.classes)
        values = metric.write(this), metric.write(other), metric.write(other - this, signed=True)
        moves.append(Move(case, metric, *values))
    return moves


def find_metrics(evaluation: Evaluation) -> list[list[Metric]]:
    """The columns of the per-case table, grouped by kind of metric."""
    names = dict.fromkeys(name for case in evaluation.cases for name in case.scores)
    return group_by_kind(parse_metric(name, evaluation.classes) for name in names)


def build_cells(cases: Sequence[CaseResult], metrics: Sequence[Metric]) -> list[list[CaseFigure]]:
    """One row per case, one cell per metric; the worst tenth of each column is tinted."""
    columns = []
    for metric in metrics:
        values = [case.scores.get(metric.name, math.nan) for case in cases]
        bad = [_measure_badness(metric.kind, value) for value in values]
        ranked = sorted((value for value in bad if math.isfinite(value)), reverse=True)
        worst = ranked[: math.ceil(_TINTED * len(ranked))]
        line = worst[-1] if worst and worst[-1] > ranked[-1] else math.inf
        columns.append([CaseFigure(metric.write(v), badness >= line) for v, badness in zip(values, bad, strict=True)])
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in cases]


def _build_group(values: Mapping[str, Sequence[Summary]], classes: Sequence[str]) -> list[GroupTable]:
    by_value = {value: {s.name: s for s in summaries} for value, summaries in values.items()}
    names = dict.fromkeys(name for summaries in by_value.values() for name in summaries)
    tables = []
    for group in group_by_kind(parse_metric(name, classes) for name in names):
        present = [s[metric.name] for s in by_value.values() for metric in group if metric.name in s]
        axis = _choose_axis(group[0].kind, present)
        rows = [
            (value, [_build_row(m, s[m.name], axis) if m.name in s else None for m in group])
            for value, s in by_value.items()
        ]
        tables.append(GroupTable(group[0].kind, _label(axis), group, rows))
    return tables


def _build_row(metric: Metric, summary: Summary, axis: Scale) -> Row:
    low, high = summary.interval.low, summary.interval.high
    whisker = _place(axis, summary.mean, low, high)
    mean, lowest, highest = metric.write(summary.mean), metric.write(low), metric.write(high)
    return Row(metric, mean, lowest, highest, whisker, summary.count, summary.missing)


def _choose_axis(kind: MetricKind, summaries: Sequence[Summary]) -> Scale:
    """The axis of a kind of metric: it includes the perfect value and every interval."""
    known = [v for s in summaries for v in (s.mean, s.interval.low, s.interval.high) if math.isfinite(v)]
    known += {"higher": [1.0], "lower": [0.0], "nearer zero": [0.0], "unknown": []}[kind.better]
    low, high = round_outward(min(known, default=0), max(known, default=1))
    return Scale(low, min(high, 1.0) if kind.better == "higher" else high, 4, _WIDTH - 4)


def _label(axis: Scale) -> list[tuple[float, str]]:
    ticks = label_ticks(axis, find_ticks(axis.low, axis.high, 4), 30)
    return [(tick.at, tick.label) for tick in ticks]


def _place(axis: Scale, middle: float, low: float, high: float) -> Whisker:
    return Whisker(*(axis(value) if math.isfinite(value) else None for value in (middle, low, high)))


def _measure_badness(kind: MetricKind, value: float) -> float:
    """How bad a value is: greater is worse; NaN for a metric without a better direction."""
    return {"higher": -value, "lower": value, "nearer zero": abs(value), "unknown": math.nan}[kind.better]


def _judge(kind: MetricKind, difference: float, adjusted: float) -> str:
    if not math.isfinite(adjusted) or adjusted >= LEVEL or kind.better in ("unknown", "nearer zero"):
        return ""
    return "other better" if (difference > 0) == (kind.better == "higher") else "this better"
