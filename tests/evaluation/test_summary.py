import math

import numpy as np
import pytest

from medseg.evaluation.per_case import CaseMeasurement, name_scores
from medseg.evaluation.summary import compare_thresholds, find_unit, list_counts, summarize, summarize_by
from tests.support.evaluated_models import result

CLASSES = ("a", "b")


def measured(
    case: str,
    dice: tuple[float, float],
    unit: str = "mm",
    counts: list[list[float]] | None = None,
    thresholds: list[list[float]] | None = None,
    **given: float,
) -> CaseMeasurement:
    """A case of which only these scores matter; counts and thresholds as `CaseMeasurement` has them."""
    scores = dict.fromkeys(name_scores(CLASSES), 0.5) | {"dice_a": dice[0], "dice_b": dice[1]} | given
    return CaseMeasurement(
        result(case, unit=unit, **scores),
        np.array(counts or [[1, 2, 4]] * 2, np.float64),
        (),
        np.array(thresholds or [[math.nan] * 2] * 2),
        "none",
        (),
    )


def means(*cases: CaseMeasurement, unit: str = "mm") -> dict[str, float]:
    return {summary.name: summary.mean for summary in summarize(cases, CLASSES, unit, 0)}


def test_dice_is_the_mean_over_classes_of_their_means_over_the_cases_that_know_them() -> None:
    found = means(measured("1", (0.5, 0.9)), measured("2", (0.7, math.nan)), measured("3", (0.9, math.nan)))
    assert (found["dice_a"], found["dice_b"]) == pytest.approx((0.7, 0.9))
    assert found["dice"] == pytest.approx((0.7 + 0.9) / 2)


def test_miou_adds_up_pixels_over_cases() -> None:
    first, second = [[10, 20, 100], [5, 5, 100]], [[30, 40, 200], [0, 0, 0]]
    found = means(measured("1", (0, 0), counts=first), measured("2", (0, 0), counts=second))
    # class a: 40 of 60 inside, 240 of 260 outside, of 300 pixels; class b: known in one case, all right
    assert found["miou"] == pytest.approx(((40 / 60 + 240 / 260) / 2 + 1) / 2)


def test_distances_in_the_rarer_unit_are_left_out() -> None:
    cases = [measured("1", (1, 1), hd95_a=2), measured("2", (1, 1), hd95_a=4), measured("3", (1, 1), "px", hd95_a=90)]
    assert find_unit(cases) == "mm"
    assert find_unit(cases[2:]) == "px"
    found = {summary.name: summary for summary in summarize(cases, CLASSES, "mm", 0)}
    assert (found["hd95_a"].mean, found["hd95_a"].count, found["hd95_a"].missing) == (3, 2, 1)
    assert found["dice_a"].count == 3


def test_every_value_of_a_column_is_summed_up_alone() -> None:
    cases = [measured(str(i), (value, 1)) for i, value in enumerate((0.2, 0.4, 0.9))]
    sites = ("x", "x", "y")
    for case, site in zip(cases, sites, strict=True):
        object.__setattr__(case.result, "groups", {"site": site})
    found = summarize_by(cases, ["site"], CLASSES, "mm", 0)["site"]
    assert {site: {s.name: s.mean for s in summaries}["dice_a"] for site, summaries in found.items()} == pytest.approx(
        {"x": 0.3, "y": 0.9}
    )


def test_thresholds_are_compared_over_the_cases_that_know_the_class() -> None:
    cases = [
        measured("1", (0, 0), thresholds=[[0.8, math.nan], [0.6, math.nan]]),
        measured("2", (0, 0), thresholds=[[0.9, math.nan], [0.9, math.nan]]),
        measured("3", (0, 0)),
    ]
    assert compare_thresholds(cases, CLASSES, {"a": 0.3}) == {"a": pytest.approx((0.3, 0.85, 0.75))}


def test_warnings_say_of_how_many_cases() -> None:
    assert list_counts({"one": 1, "none": 0, "more": 12}) == ["one (1 case)", "more (12 cases)"]
