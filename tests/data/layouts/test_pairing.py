import unicodedata
from pathlib import Path

import pytest

from medseg.data.findings import Findings
from medseg.data.layouts.pairing import name_files, pair_files


def pair(images, masks):
    """The image that each mask goes to."""
    paired = pair_files({name: Path(name) for name in images}, {name: Path(name) for name in masks})
    return {path.name: name for name, path in paired.items()}


NAMES = ["1", "2", "11", "12", "111", "JPCLN001", "a b", "CHNCXR_0001_0"]


@pytest.mark.parametrize("mask", ["{}_mask", "{}-seg", "{} label", "{}.mask", "mask_{}", "GT-{}", "{}_Mask_1", "{}_m"])
def test_affix_that_makes_every_name_match(mask):
    assert pair(NAMES, [mask.format(name) for name in NAMES]) == {mask.format(name): name for name in NAMES}


@pytest.mark.parametrize("mask", ["{}mask", "mask{}", "{}L", "{}マスク"])
def test_affix_without_a_separator_beside_digits(mask):
    names = ["1", "11", "21"]
    assert pair(names, [mask.format(name) for name in names]) == {mask.format(name): name for name in names}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}_image", "{}_mask"),
        ("img_{}", "mask_{}"),
        ("img{}", "mask{}"),
        ("IMAGE {}", "{}"),
        ("{}_0000", "{}"),
        ("{}_0000", "{}_seg"),
    ],
)
def test_images_may_have_an_affix_of_their_own(image, mask):
    numbers = ["1", "11", "0000", "5"]
    expected = {mask.format(number): image.format(number) for number in numbers}
    assert pair(expected.values(), expected) == expected


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["1", "2", "3"], ["11", "21", "31"]),  # a digit more is another number
        (["1", "2", "3"], ["11", "12", "13"]),
        (["1", "2"], ["1_1", "2_1"]),
        (["a", "b"], ["ax", "bx"]),  # another word
        (["a", "b"], ["a_mask", "b_seg"]),  # not one and the same
        (["a", "b"], ["a_mask", "c_mask"]),  # not every one
        (["1_PA", "2_PA"], ["1_LAT", "2_LAT"]),  # another view
        (["a", "a_b"], ["a_b_c"]),  # of either
        (["a", "b", "a_seg"], ["a_seg", "b_seg"]),  # one is named as an image
        (["a"], ["_mask"]),
        (["a"], []),
    ],
)
def test_names_that_are_not_matched(images, masks):
    assert pair(images, masks) == {mask: mask for mask in masks}


def test_images_may_lack_a_mask():
    assert pair(["1", "2", "3"], ["2_mask"]) == {"2_mask": "2"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.png", "a.jpg"], "files whose names differ only in their extension"),
        (["a.png", "a.PNG"], "files whose names differ only in their extension"),
        (
            [unicodedata.normalize(form, "Ü.png") for form in ("NFC", "NFD")],
            "files whose names differ only in Unicode normalization",
        ),
    ],
)
def test_two_files_of_one_name(names, said):
    findings = Findings()
    name_files(map(Path, names), findings)
    (finding,) = findings.listed()
    assert finding.code == "layout"
    assert said in "".join(finding.reasons.values())
