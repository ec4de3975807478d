import math

import numpy as np
import pytest

from medseg.evaluation.result import CaseResult, StressCurve
from medseg.metrics.calibration import CalibrationCurve
from medseg.metrics.statistics import Agreement, bland_altman
from medseg.report.curves import draw_agreement, draw_reliability, draw_stress, find_ctr, find_floor, measure_drop

NAN = math.nan


def test_the_drop_is_that_of_the_mean_at_the_worst_level():
    curve = StressCurve("gamma", "octaves", [0, -1, 1], {"a": [0.9, 0.5, 0.8], "b": [0.8, 0.8, 0.4], "c": [NAN] * 3})
    assert measure_drop(curve) == pytest.approx(0.25)
    assert math.isnan(measure_drop(StressCurve("gamma", "octaves", [0, 1], {"c": [NAN, NAN]})))


def test_levels_stand_in_order_and_the_undisturbed_one_is_hollow():
    curve = StressCurve("gamma", "octaves", [0, -1, 1], {"a": [0.9, 0.5, 0.8]})
    chart = draw_stress(curve, ("a",), find_floor([curve]))
    assert [tick.label for tick in chart.x_ticks] == ["\N{MINUS SIGN}1", "0", "1"]
    assert [(dot.title, dot.hollow) for dot in chart.lines[0].dots] == [
        ("a at -1: Dice 0.500", False),
        ("a at 0: Dice 0.900", True),
        ("a at 1: Dice 0.800", False),
    ]
    assert chart.y.low == 0.5


def test_a_perfect_curve_lies_on_the_diagonal_and_empty_bins_break_it():
    pixels = np.array([10, 0, 10, 10])
    probability = np.array([1.25, 0, 6.25, 8.75])
    chart = draw_reliability("a", 0, CalibrationCurve(pixels, probability, probability))
    assert chart.lines[1].path.count("M") == 2
    assert len(chart.lines[1].dots) == 3
    assert chart.note == "ECE 0.000"


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ({"ctr_reference": 0.5, "ctr_prediction": 0.53}, (0.5, 0.53, 0.03)),
        ({"ctr_reference": 0.5, "ctr_error": 0.03}, (0.5, 0.53, 0.03)),
        ({"ctr_prediction": 0.53, "ctr_error": 0.03}, (0.5, 0.53, 0.03)),
        ({"ctr_error": 0.03}, (NAN, NAN, 0.03)),
        ({}, (NAN, NAN, NAN)),
    ],
)
def test_the_ratio_from_what_is_there(scores, found):
    assert find_ctr(CaseResult("x", "p", "mm", scores)) == pytest.approx(found, nan_ok=True)


def test_cases_beyond_the_limits_are_hollow():
    errors = [0.01, -0.01] * 10 + [0.2]
    cases = [CaseResult(str(i), "p", "mm", {"ctr_reference": 0.5, "ctr_error": e}) for i, e in enumerate(errors)]
    chart = draw_agreement(cases, bland_altman(errors))
    assert chart is not None
    assert [dot.title for dot in chart.lines[-1].dots if dot.hollow] == ["20: +0.200"]


def test_no_plot_without_a_ratio():
    assert draw_agreement([CaseResult("x", "p", "mm", {})], Agreement(NAN, NAN, NAN)) is None
