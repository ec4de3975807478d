import json

import pytest

from medseg.benchmark.alternation import Times
from medseg.benchmark.result import Comparison, Row, find_limit, slug

SLOW, FAST = Times((4.0, 2.0, 6.0)), Times((1.0, 1.0, 2.0))


def compare(*rows: Row) -> Comparison:
    limit = Row("bf16 product", Times((0.5,)), gflop=10.0)
    return Comparison("prediction", "width 64, 512 x 512", rows, "article", limit)


def test_ratio_is_the_quotient_of_medians():
    fast = Row("fast", FAST, gflop=5.0)
    comparison = compare(Row("article", SLOW, gflop=5.0), fast)
    assert comparison.ratio(fast) == 4.0
    assert comparison.ratio_quartiles(fast) == (2.5, 3.5)  # of 4/1, 2/1 and 6/2
    assert fast.gflops == 5.0
    assert comparison.fraction(fast) == 5.0 / 20.0


def test_without_bf16_in_hardware_the_limit_is_fp32():
    products = (Row("fp32 product", Times((0.5,)), 36.0), Row("bf16 product", Times((1.0,)), 7.0))
    row = Row("torch/cpu/fp32", Times((1.0,)), 54.0)
    comparison = Comparison("prediction", "x", (row,), row.name, find_limit(products), products=products)
    described = comparison.to_dict()
    assert (described["limit"]["name"], described["limit_precision"]) == ("fp32 product", "fp32")
    assert described["rows"][0]["fraction_of_limit"] == 54.0 / 72.0
    assert described["rows"][0]["fraction_of_bf16"] == 54.0 / 7.0
    assert [product["name"] for product in described["products"]] == ["fp32 product", "bf16 product"]


def test_a_goal_that_was_not_reached_gives_a_lower_bound():
    ours = Row("medseg", Times((30.0,)))
    comparison = Comparison(
        "time_to_dice", "Dice .95", (Row("article", at_least=90.0, note="not reached"), ours), "article"
    )
    assert comparison.is_bound
    assert comparison.ratio(ours) == 3.0
    described = comparison.to_dict()["rows"]
    assert described[0] == {"name": "article", "note": "not reached"}
    assert (described[1]["ratio"], described[1]["ratio_is_a_lower_bound"]) == (3.0, True)


def test_what_was_not_measured_has_no_figures():
    missing = Row("openvino/cpu/bf16", note="not installed")
    comparison = compare(Row("article", SLOW), missing)
    assert comparison.ratio(missing) is None
    assert comparison.fraction(missing) is None
    assert comparison.to_dict()["rows"][1] == {"name": "openvino/cpu/bf16", "note": "not installed"}


def test_all_figures_are_plain():
    comparison = compare(Row("article", SLOW, 5.0, details={"dice": {"lungs": 0.9}}))
    read = json.loads(json.dumps(comparison.to_dict()))
    assert read["rows"][0]["seconds"] == {"median": 4.0, "quartiles": [3.0, 5.0], "turns": [4.0, 2.0, 6.0]}
    assert read["rows"][0]["rate"] == 0.25
    assert read["rows"][0]["dice"] == {"lungs": 0.9}
    assert read["limit"]["gflops"] == 20.0


@pytest.mark.parametrize(
    ("text", "expected"), [("width 64, 512 x 512", "width-64-512-x-512"), ("openvino/cpu/bf16", "openvino-cpu-bf16")]
)
def test_names_for_files_and_metrics(text, expected):
    assert slug(text) == expected
