from dataclasses import replace

import numpy as np
import pytest

from medseg.checks.likeness import check_likeness, compare_images
from medseg.data.findings import Findings
from tests.support.case_surveys import MASK, make_survey

RNG = np.random.default_rng(4)


def survey_set(agreements, label="lungs"):
    """Cases that have one mask each; `agreements` tells how it follows the picture, for each turn."""
    return [
        make_survey(f"c{number}", masks={label: replace(MASK, agreement=np.asarray(agreement, float))})
        for number, agreement in enumerate(agreements)
    ]


def find(surveys, classes=("lungs",)):
    findings = Findings()
    check_likeness(surveys, classes, findings)
    return {finding.code: finding for finding in findings.listed()}


USUAL = [-0.6, 0, -0.1, 0, 0.1, 0, 0.1, 0]


def test_contour_that_follows_little_of_its_image():
    found = find(survey_set([USUAL] * 11 + [[-0.1, 0, 0, 0, 0, 0, 0, 0]]))
    assert found["mask_off_image"].cases == ("c11",)
    assert "17% of the usual agreement" in found["mask_off_image"].reasons["c11"]


def test_contour_that_would_follow_its_image_turned():
    turned = [-0.35, -0.7, 0, 0, 0, 0, 0, 0]
    found = find(survey_set([USUAL] * 11 + [turned]))
    assert "58% of the usual agreement (117% with the mask mirrored)" in found["mask_off_image"].reasons["c11"]


def test_masks_that_are_all_transposed():
    found = find(survey_set([np.roll(USUAL, 4)] * 12))
    assert len(found["mask_off_image"].cases) == 12
    assert "with the mask transposed)" in found["mask_off_image"].reasons["c3"]


@pytest.mark.parametrize("agreements", [[[0.05] * 8] * 20, RNG.normal(0, 0.4, (20, 8)), [USUAL] * 7, np.zeros((20, 8))])
def test_set_that_cannot_tell_says_nothing(agreements):
    assert find(survey_set(agreements)) == {}


def test_lungs_are_darker_than_what_is_around_them():
    """Nothing else says which way round bright and dark are where all pictures agree."""
    bright = [np.negative(USUAL)] * 12
    assert len(find(survey_set(bright))["image_inverted"].cases) == 12
    assert find(survey_set(bright, "heart"), ("heart",)) == {}


def test_contours_tell_an_inverted_picture_where_the_picture_alone_does_not():
    found = find(survey_set([USUAL] * 11 + [np.negative(USUAL)]))
    assert found["image_inverted"].cases == ("c11",)
    assert "mask_off_image" not in found


def test_pictures_are_compared_with_the_average_of_the_others():
    ramp = np.linspace(0, 1, 32, dtype=np.float32) * np.ones((32, 1), np.float32)
    surveys = [
        make_survey(f"c{n}", thumbnail=ramp + RNG.normal(0, 0.1, (32, 32)).astype(np.float32)) for n in range(12)
    ]
    surveys[5] = make_survey("odd", thumbnail=1 - surveys[5].thumbnail)
    cosines = compare_images(surveys)
    assert cosines.argmin() == 5
    assert cosines[5] < -0.9
    assert find(surveys)["image_inverted"].cases == ("odd",)
    assert not compare_images(surveys[:5]).any()
    assert len(compare_images([])) == 0


def draw_knee(tilt, side=1):
    """Two bones one above the other; beside the lower one a thin one, at `side` (0: none)."""
    row, column = np.mgrid[-1:1:32j, -1:1:32j]
    down = row * np.cos(tilt) - column * np.sin(tilt)
    right = row * np.sin(tilt) + column * np.cos(tilt)
    bones = (abs(right) < 0.3) & (abs(down + 0.1) > 0.15 + 0.2 * right**2)
    if side:
        bones |= (abs(side * right - 0.6) < 0.15) & (down > 0.2)
    return bones[None].astype(np.float32)


def survey_knees(sides, degrees=5):
    tilts = np.deg2rad(np.random.default_rng(len(sides)).normal(0, degrees, len(sides)))
    return [
        make_survey(f"c{n}", outlines=draw_knee(tilt, side))
        for n, (tilt, side) in enumerate(zip(tilts, sides, strict=True))
    ]


@pytest.mark.parametrize("num_cases", [12, 40])
def test_symmetric_masks_that_are_tilted_are_not_mirrored(num_cases):
    assert find(survey_knees([0] * num_cases)) == {}


def test_left_and_right_knees_are_not_mirrored_but_one_among_many_is():
    assert find(survey_knees([1, -1, 1] * 8)) == {}
    assert find(survey_knees([1] * 20 + [-1]))["mask_mirrored"].cases == ("c20",)


def test_masks_that_disagree_with_their_images_are_named_among_left_and_right():
    surveys = survey_knees([1] * 14 + [-1] * 10, degrees=2)
    straight, mirrored = [0.6, 0, 0.1, 0, 0, 0, 0, 0], [0, 0.6, 0.1, 0, 0, 0, 0, 0]
    for number, survey in enumerate(surveys):
        agreement = np.array(mirrored if number > 20 else straight)
        surveys[number] = replace(survey, masks={"bones": replace(MASK, agreement=agreement)})
    found = find(surveys, ("bones",))
    assert set(found) == {"mask_mirrored", "mask_off_image"}
    for finding in found.values():
        assert finding.cases == ("c21", "c22", "c23")
