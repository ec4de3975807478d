import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from medseg.errors import DataError
from medseg.evaluation.files import build_metrics, format_per_case, read_per_case
from medseg.evaluation.per_case import name_scores
from medseg.evaluation.result import CaseResult, Comparison, Evaluation, Summary
from medseg.metrics.statistics import Agreement, Interval
from tests.support.evaluated_models import result

CLASSES = ("heart", "lungs")


def full(case: str, value: float = 0.5) -> CaseResult:
    return result(case, "p001", "mm", **dict.fromkeys(name_scores(CLASSES), value))


def evaluation(*cases: CaseResult, **given: object) -> Evaluation:
    summaries = [
        Summary("dice", 0.9, Interval(0.8, 0.95), 2, 0),
        Summary("hd95_heart", math.nan, Interval(math.nan, math.nan), 0, 2),
    ]
    return Evaluation("0" * 16, "jsrt", "unseen", 3, CLASSES, cases, summaries, **given)  # type: ignore[arg-type]


def test_columns_stand_in_the_order_that_scripts_rely_on() -> None:
    header = format_per_case(evaluation(full("a"))).splitlines()[0].split(",")
    per_class = [f"{metric}_{name}" for name in CLASSES for metric in ("dice", "iou", "hd95", "assd", "nsd")]
    assert header[:13] == ["case", "patient", *per_class, "unit"]
    assert {"area_error_heart", "ctr_error", "subset"} <= set(header[13:])


def test_rows_are_sorted_and_what_is_missing_is_empty() -> None:
    text = format_per_case(evaluation(full("ü"), full("b", math.nan), full("a")))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [unquote(row["case"]) for row in rows] == ["a", "b", "ü"]
    assert rows[1]["dice_heart"] == ""
    assert {row["subset"] for row in rows} == {"unseen"}


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "per_case.csv"
    cases = [full("a", 0.123456789), full("b", math.nan)]
    path.write_text(format_per_case(evaluation(*cases)), encoding="utf-8")
    read = read_per_case(path)
    assert [(case.case, case.patient, case.unit) for case in read] == [("a", "p001", "mm"), ("b", "p001", "mm")]
    assert read[0].scores == pytest.approx(dict(cases[0].scores), abs=1e-8)
    assert math.isnan(read[1].scores["dice_heart"])


@pytest.mark.parametrize("name", ["=1+2", "+a", "-a", "@a", "\t=a", "b;=c", "50%=a"])
def test_no_cell_is_a_formula_and_names_are_read_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "per_case.csv"
    path.write_text(format_per_case(evaluation(replace(full(name), groups={"site": name}))))
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    for cell in (row["case"], row["by_site"]):
        assert not re.search(r"(^|;)\s*[=+@-]", cell)
        assert unquote(cell) == name
    assert [case.case for case in read_per_case(path)] == [name]


def test_names_of_earlier_tables_are_those_of_now(tmp_path: Path) -> None:
    path = tmp_path / "per_case.csv"
    path.write_text(format_per_case(evaluation(full("M"))).replace("\nM,", "\nMu%CC%88ller,"))  # NFD, percent-encoded
    assert [case.case for case in read_per_case(path)] == ["M\u00fcller"]


def test_names_that_are_no_formula_stay_as_they_are() -> None:
    text = format_per_case(evaluation(full("JPCLN001 (2)_a.b-c")))
    assert text.splitlines()[1].startswith("JPCLN001 (2)_a.b-c,p001,")


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n",
        b"case,patient,unit,dice_a\nx,p001,px,high\n",
        b"case,patient,unit\nx,p001,px,0.5\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_table_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"table\.csv: not a per_case\.csv written by medseg evaluate"):
        read_per_case(tmp_path / "table.csv")


def test_metrics_are_plain_json() -> None:
    metrics = build_metrics(evaluation(full("a"), full("b"), ctr=Agreement(0.01, -0.02, 0.04)))
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert (metrics["dice"], metrics["dice_ci95"]) == (0.9, [0.8, 0.95])
    assert (metrics["hd95_heart"], metrics["hd95_heart_ci95"]) == (None, [None, None])
    assert metrics["missing"] == {"hd95_heart": 2}
    assert (metrics["cases"], metrics["patients"], metrics["left_out"], metrics["subset"]) == (2, 1, 3, "unseen")
    assert (metrics["ctr_bias"], metrics["ctr_limits"]) == (0.01, [-0.02, 0.04])


def test_a_comparison_says_of_how_many_cases_and_patients_it_is() -> None:
    comparison = Comparison("1" * 16, {}, {}, [], cases=5, patients=3)
    described = build_metrics(evaluation(full("a"), comparison=comparison))["comparison"]
    assert (described["cases"], described["patients"]) == (5, 3)
