import pytest

from medseg.data.findings import Findings
from medseg.data.rules import RULES, SEVERITIES
from medseg.errors import DataError, RadiographError


def test_nothing_found_is_no_error(tmp_path):
    Findings(tmp_path).check()
    assert Findings(tmp_path).listed() == []


def test_gravest_comes_first_then_the_order_of_the_rules():
    findings = Findings()
    for code in ("outlier_area", "mask_levels", "empty_mask", "empty_split", "unreadable"):
        findings.add(code, "a")
    assert [finding.code for finding in findings.listed()] == [
        "unreadable",
        "empty_split",
        "mask_levels",
        "empty_mask",
        "outlier_area",
    ]


def test_one_finding_a_code_with_all_that_was_said_of_a_case():
    findings = Findings()
    findings.add("class_missing", "b", "b.png", what="images without the class heart")
    findings.add("class_missing", "a", "a.png", what="images without the class lungs")
    findings.add("saturated", "a", "too bright")
    findings.add("saturated", "a", "too dark")
    findings.add("saturated", "a", "too dark")
    missing, saturated = findings.listed()
    assert missing.cases == ("a", "b")
    assert missing.reasons["a"] == "images without the class lungs: a.png"
    assert (saturated.cases, saturated.reasons) == (("a",), {"a": "too bright; too dark"})
    assert findings.cases("saturated") == {"a"}


def test_warnings_in_a_line_each_with_three_cases_and_remarks_by_number():
    findings = Findings()
    for number in range(5):
        findings.add("full_mask", f"c{number}", "lungs")
        findings.add("reading_note", f"c{number}", f"remark {number // 4}")
    findings.add("outlier_area", "c0")
    findings.add("unreadable", "x")
    assert findings.describe_warnings() == [
        f"masks that are all foreground (5): c0, c1, c2 and 2 more. {RULES['full_mask'].remedy}"
    ]
    assert findings.describe_notes() == ["remark 0 (4)", "remark 1 (1)"]


def test_what_is_about_no_case():
    findings = Findings()
    findings.add("class_name", "", "liver")
    (finding,) = findings.listed()
    assert (finding.cases, finding.reasons) == ((), {"": "liver"})


def test_message_lists_errors_alone_with_ten_names_count_and_remedy(tmp_path):
    findings = Findings(tmp_path)
    for number in range(12):
        findings.add("image_without_mask", f"c{number:02d}", f"c{number:02d}.png")
    findings.add("empty_mask", "x")
    with pytest.raises(DataError) as caught:
        findings.check()
    lines = str(caught.value).splitlines()
    assert lines[:3] == [
        f"{tmp_path}: this data set cannot be used because of these errors",
        "  images without a mask (12):",
        "    c00.png",
    ]
    assert lines[-2:] == ["    and 2 more", f"    -> {RULES['image_without_mask'].remedy}"]


def test_what_is_no_error_does_not_raise():
    findings = Findings()
    findings.add("class_missing", "a", severity="warning")
    findings.add("empty_mask", "a")
    findings.check()


@pytest.mark.parametrize(
    ("code", "expected"),
    [("content", "no_content"), ("shape", "size_mismatch"), ("labels", "unknown_label"), ("damaged", "unreadable")],
)
def test_error_of_a_file_goes_under_its_rule(code, expected):
    findings = Findings()
    findings.add_error("a", RadiographError("broken", code, "folder/a.png"))
    assert [(f.code, f.reasons) for f in findings.listed()] == [(expected, {"a": "folder/a.png: broken"})]


def test_name_that_is_no_utf8_can_be_written():
    findings = Findings()
    findings.add("unreadable", "a", "r\udcf6ntgen.png")
    findings.listed()[0].reasons["a"].encode()


@pytest.mark.parametrize("code", RULES)
def test_rule_says_what_and_how_to_mend_it_in_a_line(code):
    rule = RULES[code]
    assert rule.severity in SEVERITIES
    assert rule.remedy.endswith(".")
    assert len(rule.remedy) <= 110
    assert len(code) <= 24


def test_remedy_of_its_own_stands_for_that_of_the_rule():
    findings = Findings()
    findings.add("label_values", "a", what="masks of lungs", remedy="Set this.")
    findings.add("label_values", "b", what="masks of heart")
    assert findings.listed()[0].remedy == f"Set this. {RULES['label_values'].remedy}"
    with pytest.raises(DataError, match=r"-> Set this\.\n"):
        findings.check()
