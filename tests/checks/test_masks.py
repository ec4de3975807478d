import pytest

from medseg.checks.masks import check_masks
from medseg.data.findings import Findings
from tests.support.case_surveys import make_levels, make_survey


def find(odd, **rest):
    findings = Findings()
    if "levels" in odd:
        odd["levels"] = (make_levels("odd.png", *odd["levels"]),) if odd["levels"] else ()
    usual = [{**rest, "levels": (make_levels(f"{n}.png", 0, 255),)} for n in range(9)]
    surveys = [make_survey("odd", mask={**rest, **odd}), *(make_survey(f"n{n}", mask=m) for n, m in enumerate(usual))]
    check_masks(surveys, ("lungs", "heart"), findings)
    assert {case for finding in findings.listed() for case in finding.cases} <= {"odd"}
    return {finding.code for finding in findings.listed()}


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        ({}, set()),
        ({"area": 0.0, "levels": (0,)}, {"empty_mask"}),
        ({"area": 1.0, "levels": (255,)}, {"full_mask"}),
        ({"border": 0.9}, {"mask_inverted"}),
        ({"border": 0.4}, set()),
        ({"levels": (0, 1)}, {"mask_values"}),
        ({"levels": (0, 17, 255)}, {"mask_levels"}),
        ({"levels": ()}, set()),
        ({"shape": (50, 40)}, {"mask_resolution"}),
    ],
)
def test_masks_by_themselves_and_against_the_rest(odd, expected):
    assert find(odd) == expected


def test_masks_that_all_cover_the_border_are_usual():
    assert find({"border": 0.95}, border=0.8) == set()
