import math

import pytest

from medseg.report.metric import group_by_kind, parse_metric, write_number, write_p_value

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("name", "classes", "kind", "of"),
    [
        ("dice_lungs", ("lungs",), "dice", "lungs"),
        ("hd95_left_lung", ("lung", "left_lung"), "hd95", "left_lung"),
        ("area_error_heart", ("lungs", "heart"), "area_error", "heart"),
        ("ctr_error", ("lungs", "heart"), "ctr_error", None),
        ("dice", ("lungs",), "dice", None),
        ("novel_thing", ("lungs",), "novel_thing", None),
    ],
)
def test_names_are_taken_apart(name, classes, kind, of):
    metric = parse_metric(name, classes)
    assert (metric.kind_name, metric.class_name) == (kind, of)
    assert metric.index == (None if of is None else classes.index(of))


def test_kinds_stand_together_the_mean_first():
    names = ("dice_a", "iou_a", "dice_b", "dice", "iou_b")
    groups = group_by_kind(parse_metric(name, ("a", "b")) for name in names)
    assert [[metric.name for metric in group] for group in groups] == [["dice", "dice_a", "dice_b"], ["iou_a", "iou_b"]]


def test_distances_name_their_unit():
    assert "within 2 px" in parse_metric("nsd_a", ("a",)).kind.describe("px")


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "text"),
    [(0.9746, 3, "-", "0.975"), (-1.5, 2, "-", f"{MINUS}1.50"), (0.01, 2, "+", "+0.01"), (-0.0001, 3, "-", "0.000")],
)
def test_numbers(value, decimals, sign, text):
    assert write_number(value, decimals, sign).text == text


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_is_missing(value):
    assert write_number(value, 3).missing
    assert write_number(value, 3).text == ""


@pytest.mark.parametrize(("value", "text"), [(0.0004, "0.001"), (0.0123, "0.012"), (0.4567, "0.46"), (1.0, "1.00")])
def test_p_values(value, text):
    assert write_p_value(value).text.endswith(text)
    assert write_p_value(value).text.startswith("<") == (value < 0.001)
