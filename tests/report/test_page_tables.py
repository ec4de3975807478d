import math

import pytest

from medseg.evaluation.result import CaseResult, Comparison, Evaluation, Summary
from medseg.metrics.statistics import Interval, Paired
from medseg.report.metric import parse_metric
from medseg.report.page_tables import build_cells, build_comparison, build_groups, build_summary


def evaluate(**found: object) -> Evaluation:
    return Evaluation("0" * 16, "data", "unseen", 0, ("a", "b"), [], **{"summaries": [], **found})


@pytest.mark.parametrize(
    ("name", "worst"), [("dice_a", 0), ("hd95_a", 19), ("area_error_a", 0), ("ctr_reference", None)]
)
def test_the_worst_tenth_is_tinted(name, worst):
    values = [(place - 12) / 20 for place in range(20)]
    cases = [CaseResult(str(place), "p", "mm", {name: value}) for place, value in enumerate(values)]
    cases.append(CaseResult("missing", "p", "mm", {name: math.nan}))
    tinted = [place for place, (cell,) in enumerate(build_cells(cases, [parse_metric(name, ("a",))])) if cell.tinted]
    assert len(tinted) == (0 if worst is None else 2)
    assert worst is None or worst in tinted


def test_nothing_is_tinted_where_all_are_alike():
    cases = [CaseResult(str(place), "p", "mm", {"dice_a": 1.0}) for place in range(9)]
    assert not any(cell.tinted for (cell,) in build_cells(cases, [parse_metric("dice_a", ("a",))]))


def test_intervals_stand_on_the_axis_of_their_kind():
    summaries = [
        Summary("dice_a", 0.9, Interval(0.8, 0.95), 9, 0),
        Summary("dice_b", 0.6, Interval(math.nan, math.nan), 1, 8),
    ]
    (block,) = build_summary(evaluate(summaries=summaries))
    first, second = block.rows
    assert 4 <= first.whisker.low < first.whisker.middle < first.whisker.high <= 156
    assert (second.whisker.low, second.whisker.high) == (None, None)
    assert second.whisker.middle < first.whisker.low
    assert block.ticks[-1] == (156, "1.0")


@pytest.mark.parametrize(
    ("name", "difference", "adjusted", "verdict"),
    [
        ("dice_a", 0.1, 0.01, "other better"),
        ("dice_a", -0.1, 0.01, "this better"),
        ("hd95_a", -0.1, 0.01, "other better"),
        ("dice_a", 0.1, 0.05, ""),
        ("dice_a", 0.1, math.nan, ""),
        ("area_error_a", 0.1, 0.01, ""),
    ],
)
def test_who_is_better(name, difference, adjusted, verdict):
    comparison = Comparison("x", {name: Paired(difference, difference, difference, 0.01)}, {name: adjusted}, [])
    (block,) = build_comparison(evaluate(comparison=comparison))
    assert block.rows[0].verdict == verdict
    assert block.zero == 80


def test_a_value_without_a_metric_has_a_gap():
    by = {"site": {"x": [Summary("dice_a", 0.9, Interval(0.8, 1), 9, 0)], "y": []}}
    (table,) = build_groups(evaluate(by=by))["site"]
    assert [(value, [cell is None for cell in cells]) for value, cells in table.rows] == [("x", [False]), ("y", [True])]
