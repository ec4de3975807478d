from dataclasses import replace

import pytest

from medseg.checks.levels import check_levels
from medseg.data.findings import Findings
from tests.support.case_surveys import make_levels


def find(*files, classes=("lungs",), **rest):
    """The findings on files of the values given, all of the first class."""
    findings = Findings()
    levels = [make_levels(f"{n}.png", *values, **rest) for n, values in enumerate(files)]
    check_levels([(f"c{n}", classes[0], one) for n, one in enumerate(levels)], classes, findings)
    return findings.listed()


def codes(*files, **rest):
    return {finding.code for finding in find(*files, **rest)}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([(0, 1)] * 3, set()),
        ([(0, 38)] * 3 + [(0,)], set()),
        ([(1, 2)] * 3 + [(2,)], set()),
        ([(0, 255), (0, 255), (0, 1)], {"mask_values"}),
        ([(0, 255), (15, 235)], {"mask_values"}),
        ([(0, 1, 2)] * 3, {"label_values"}),
        ([(0, 2), (0, 2), (0, 1, 2)], {"label_values"}),
        ([(0, 1), (0, 2)], {"label_values"}),
        ([(0, 1), (1, 2)], {"label_values"}),
        ([(0, 1), (2,)], {"label_values"}),
        ([(1,), (2,)], {"label_values"}),
        ([(1, 2), (1,)], {"label_values"}),  # 1 alone is all foreground, between 1 and 2 it is background
        ([(0, 85), (0, 170), (0, 255)], {"label_values"}),
        ([tuple(range(58))], {"label_values"}),
        ([(0, 3, 90, 200)], {"mask_levels"}),
        ([(0, 0.5, 1)], {"mask_levels"}),
    ],
)
def test_the_whole_set_decides(files, expected):
    assert codes(*files) == expected


def test_areas_of_more_than_two_levels_are_a_label_map():
    assert codes((0, 128, 255), mapped=True) == {"label_values"}


def test_jpeg_of_small_labels_is_noise_but_not_that_of_faint_masks():
    (finding,) = find((0, 1, 2, 3), lossy=True)
    assert finding.remedy.startswith("Lossy compression changes label values.")
    assert codes((0, 1, 37, 38), lossy=True) == {"mask_levels"}


def test_blurred_masks_of_one_range_are_a_warning_and_others_an_error():
    (finding,) = find((0, 9, 255), (3, 90, 150))
    assert finding.severity == "warning"
    (finding,) = find((0, 9, 255), (0, 1, 90))
    assert (finding.severity, finding.cases) == ("error", ("c0", "c1"))
    assert finding.reasons["c1"].endswith("lungs: 0 to 90; other masks have 0 to 255")


@pytest.mark.parametrize(
    ("classes", "rest", "values", "settings"),
    [
        (
            ("lungs",),
            {},
            (0, 1, 2),
            "data.classes=[lungs,class_2] or 'data.label_values={lungs: [1], class_2: [2]}' if each value is a class, "
            "or 'data.label_values={lungs: nonzero}' if every value except 0 is lungs",
        ),
        (("foreground",), {}, (0, 1, 2), "data.classes=[class_1,class_2] or 'data.label_values={class_1: [1], "),
        (
            ("lungs",),
            {"mapped": True},
            (0, 1, 255),
            "Set 'data.label_values={lungs: [1], class_255: [255]}' if each value is a class",
        ),
        (("lungs", "heart"), {"alone": True}, (0, 1, 2), "Set 'data.label_values={lungs: [1], class_2: [2]}' if each "),
        (
            ("lungs",),
            {"mapped": True},
            (0, 1, 255),
            "if every value except 0 is lungs, or data.ignore_value=255 to ignore these pixels.",
        ),
        (
            ("lungs",),
            {},
            (-1, 0, 1),
            "Set 'data.label_values={class_-1: [-1], lungs: [1]}' if each value is a class, or "
            "'data.label_values={lungs: nonzero}' if every value except 0 is lungs, or data.ignore_value=-1 to ignore ",
        ),
        (
            ("lungs", "heart"),
            {"known": (1, 2)},
            (0, 1, 2, 255),
            "class_255: [255]}' to name every value, or data.ignore_value=255 to ignore these pixels.",
        ),
        (
            ("lungs",),
            {},
            tuple(range(58)),
            "Set 'data.label_values={lungs: nonzero}' if every value except 0 is lungs.",
        ),
    ],
)
def test_settings_that_would_make_sense(classes, rest, values, settings):
    (finding,) = find(values, classes=classes, **rest)
    assert settings in finding.remedy


def test_values_and_counts_over_the_set():
    (finding,) = find((0, 1), (0, 1, 2), tuple(range(20)))
    assert set(finding.reasons) == {"c1", "c2"}
    assert (
        "the values of 3 masks are 0 (30 pixels in 3 masks), 1 (30 pixels in 3 masks), 2 (20 pixels in 2 masks), "
        in (finding.reasons["c1"])
    )
    assert finding.reasons["c1"].endswith("11 (10 pixels in 1 mask), and 8 more up to 19")


def test_values_of_no_class_are_one_finding():
    (finding,) = find((0, 1), (0, 1, 3), (0, 3, 4), known=(1, 2), classes=("lungs", "heart"))
    assert (finding.code, finding.cases) == ("unknown_label", ("c1", "c2"))
    assert finding.reasons["c1"] == (
        "the values of 3 masks are 0 (30 pixels in 3 masks), 1 (20 pixels in 2 masks), 3 (20 pixels in 2 masks), "
        "4 (10 pixels in 1 mask); the values of the classes are 1, 2"
    )
    assert finding.remedy == (
        "Correct the masks, or set data.classes=[lungs,heart,class_3,class_4] or "
        "'data.label_values={lungs: [1], heart: [2], class_3: [3], class_4: [4]}' to name every value."
    )
    assert "data.label_values" in find((0, 7), known=(5,))[0].remedy
    assert find((0, 7), known=(5,), lossy=True)[0].remedy.startswith("Lossy compression changes label values.")
    assert codes((0, 7, 9), known="nonzero") == set()


def find_colors(*palettes):
    """The findings on label maps with the colors given by value."""
    findings = Findings()
    colors = [{0: (0, 0, 0), **palette} for palette in palettes]
    levels = [replace(make_levels(f"{n}.png", *c, known=(1, 2, 3)), colors=c) for n, c in enumerate(colors)]
    check_levels([(f"c{n}", "lungs", one) for n, one in enumerate(levels)], ("lungs", "heart", "rest"), findings)
    return findings.listed()


def test_one_color_of_several_values_is_an_error():
    red, green = (255, 0, 0), (0, 255, 0)
    usual = [{1: red, 2: green}, {1: red, 2: green}, {2: green, 3: (9, 9, 9)}]
    assert find_colors(*usual) == []
    (finding,) = find_colors(*usual, {1: green, 2: red})
    assert (finding.code, finding.severity, finding.cases) == ("label_values", "error", ("c3",))
    assert "3.png: the color (0, 255, 0) has the value 1, in most masks 2" in finding.reasons["c3"]


def test_black_is_the_background_unless_that_is_white():
    assert find_colors({0: (255, 255, 255), 1: (0, 0, 0)}) == []
    (finding,) = find_colors({0: (255, 0, 0), 1: (0, 0, 0)})
    assert "0.png: the color (0, 0, 0) has the value 1, and the background is (255, 0, 0)" in finding.reasons["c0"]


def test_classes_that_share_a_file_count_it_once():
    findings = Findings()
    levels = make_levels("a.png", 0, 1, 3, known=(1, 2))
    check_levels([("a", "lungs", levels), ("a", "heart", levels)], ("lungs", "heart"), findings)
    assert "3 (10 pixels in 1 mask)" in findings.listed()[0].reasons["a"]
