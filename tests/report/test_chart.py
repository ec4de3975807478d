import math

import pytest

from medseg.report.chart import Scale, draw_line, find_ticks, label_ticks, round_outward


@pytest.mark.parametrize(
    ("low", "high", "number", "ticks"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.83, 1, 3, [0.9, 1.0]),
        (-0.03, 0.03, 3, [-0.02, 0, 0.02]),
        (0, 23.7, 3, [0, 10, 20]),
        (5, 5, 3, [5]),
    ],
)
def test_ticks_are_round(low, high, number, ticks):
    assert find_ticks(low, high, number) == pytest.approx(ticks)


@pytest.mark.parametrize(("low", "high"), [(0.83, 0.97), (-0.031, 0.004), (0, 23.7), (2, 2), (-1e-6, 1e-6)])
def test_widened_ends_enclose(low, high):
    first, last = round_outward(low, high)
    assert first <= low
    assert last >= high
    assert last > first
    assert last - first <= 2 * (high - low) or low == high


def test_lines_break_where_a_value_is_missing():
    scale = Scale(0, 4, 0, 40)
    path = draw_line(scale, Scale(0, 1, 10, 0), [(0, 0), (1, 1), (2, math.nan), (3, 0.5), (4, 0.5)])
    assert path == "M0 10L10 0M30 5L40 5"


def test_ticks_share_their_decimals_and_keep_apart():
    ticks = label_ticks(Scale(-2, 4, 0, 60), [-2, 0, 0.5, 1, 4], apart=10)
    assert [(tick.at, tick.label) for tick in ticks] == [
        (0, "\N{MINUS SIGN}2.0"),
        (20, "0.0"),
        (30, "1.0"),
        (60, "4.0"),
    ]
