import pytest

from medseg.checks.images import check_pictures
from medseg.data.findings import Findings
from tests.support.case_surveys import make_survey

DETECTOR = {"spacing_mm": (1.0, 1.0), "spacing_source": "detector"}


def find(odd, **rest):
    """Codes noted for one odd case among nine others, none of which may be noted."""
    findings = Findings()
    check_pictures([make_survey("odd", **{**rest, **odd}), *(make_survey(f"n{n}", **rest) for n in range(9))], findings)
    assert {case for finding in findings.listed() for case in finding.cases} <= {"odd"}
    return {finding.code for finding in findings.listed()}


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        ({}, set()),
        ({"levels": {"count": 63}}, {"few_grey_levels"}),
        ({"levels": {"count": 67}}, set()),
        ({"levels": {"gaps": 0.11}}, {"uneven_grey_levels"}),
        ({"levels": {"gaps": 0.09}}, set()),
        ({"levels": {"gaps": 0.5, "count": 300}}, set()),
        ({"levels": {"jumps": 0.03}}, {"wrapped_grey_levels"}),
        ({"levels": {"brightest": 0.31}}, {"saturated"}),
        ({"levels": {"darkest": 0.31}}, {"saturated"}),
        ({"mask": {"clipped": 0.26}}, {"saturated"}),
        ({"levels": {"bits": 12}}, {"mixed_bit_depth"}),
        ({"levels": {"bits": 10}}, set()),
        ({"burned_in": True}, {"burned_in"}),
        ({"warnings": ("a remark",)}, {"reading_note"}),
        ({"shape": (100, 101)}, {"mixed_sizes"}),
        ({"shape": (200, 160)}, {"mixed_sizes"}),
        ({"shape": (110, 85)}, set()),
    ],
)
def test_images_by_themselves_and_against_the_rest(odd, expected):
    assert find(odd) == expected


def test_dark_borders_that_all_have_are_usual():
    assert find({"levels": {"darkest": 0.6}}, levels={"darkest": 0.5}) == set()
    assert find({"levels": {"darkest": 0.9}}, levels={"darkest": 0.5}) == {"saturated"}
    assert find({"levels": {"brightest": 0.6}}, levels={"brightest": 0.5}) == set()


def test_eight_bits_among_twelve():
    odd = {"levels": {"count": 200, "bits": 8}}
    assert find(odd, levels={"count": 3000, "bits": 12}) == {"few_grey_levels"}
    assert find({"levels": {"count": 900, "bits": 10}}, levels={"count": 3000, "bits": 12}) == set()


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        ({"spacing_mm": (1.0, 1.01)}, set()),
        ({"spacing_mm": (1.0, 1.03)}, {"anisotropic_spacing"}),
        ({"spacing_mm": (0.1, 0.1)}, {"implausible_spacing"}),  # centimetres
        ({"spacing_mm": (10.0, 10.0)}, {"implausible_spacing"}),
        ({"spacing_mm": (0.5, 0.5)}, set()),
        ({"spacing_source": "film"}, {"mixed_spacing"}),
        ({"spacing_mm": None, "spacing_source": "none"}, {"absent_spacing"}),
    ],
)
def test_spacing(odd, expected):
    assert find(odd, **DETECTOR) == expected


@pytest.mark.parametrize(
    ("millimetres", "expected"), [(0.09, {"implausible_spacing"}), (21.0, {"implausible_spacing"})]
)
def test_field_that_no_radiograph_has(millimetres, expected):
    findings = Findings()
    check_pictures([make_survey("a", **{**DETECTOR, "spacing_mm": (millimetres, millimetres)})], findings)
    assert {finding.code for finding in findings.listed()} == expected


def test_orientation_tags_are_compared_among_those_that_have_one():
    assert find({"orientation": "R\\F"}, orientation="L\\F") == {"orientation_tags"}
    assert find({"orientation": None}, orientation="L\\F") == set()
    assert find({"orientation": "A\\F", "view": ("CHEST", "LL")}, orientation="L\\F") == set()


def test_no_pictures_no_findings():
    findings = Findings()
    check_pictures([], findings)
    assert findings.listed() == []
