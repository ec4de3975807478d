import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg.inference.plausibility import find_empty, find_implausible
from medseg.metrics.cardiothoracic import CardiothoracicRatio, measure_ctr
from medseg.metrics.shape import measure_areas, measure_outline
from medseg.model.checkpoint import Range
from medseg.training.card import measure_ranges

SHAPE = (100, 120)


def draw(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Boxes of (first row, last row, first column, last column)."""
    mask = np.zeros(shape, bool)
    for top, bottom, left, right in boxes:
        mask[top : bottom + 1, left : right + 1] = True
    return mask


RIGHT_LUNG, LEFT_LUNG = (10, 79, 10, 39), (10, 79, 70, 99)  # as in an image: the patient's right is on the left
LUNGS = draw(RIGHT_LUNG, LEFT_LUNG)  # 90 wide
HEART = draw((40, 79, 35, 74))  # 40 wide


def measure(lungs: np.ndarray, heart: np.ndarray) -> CardiothoracicRatio:
    ratio = measure_ctr(lungs, heart)
    assert ratio is not None
    return ratio


class TestCardiothoracicRatio:
    def test_boxes(self) -> None:
        ratio = measure(LUNGS, HEART)
        assert ratio.value == pytest.approx(40 / 90)
        assert ratio.warnings == ()

    @pytest.mark.parametrize("degrees", [0, 20, 35, 90, 145])
    def test_a_tilted_ellipse_reaches_as_far_as_its_formula_says(self, degrees: int) -> None:
        a, b, angle = 120.0, 70.0, math.radians(degrees)
        y, x = np.mgrid[:500, :600]
        along = (x - 310) * math.cos(angle) + (y - 250) * math.sin(angle)
        across = (y - 250) * math.cos(angle) - (x - 310) * math.sin(angle)
        heart = (along / a) ** 2 + (across / b) ** 2 <= 1
        lungs = draw((50, 400, 50, 229), (50, 400, 350, 549), shape=(500, 600))  # 500 wide
        extent = 2 * math.sqrt((a * math.cos(angle)) ** 2 + (b * math.sin(angle)) ** 2)
        assert measure(lungs, heart).value * 500 == pytest.approx(extent, abs=1.01)

    def test_the_borders_of_the_heart_may_lie_in_different_rows(self) -> None:
        ratio = measure(LUNGS, draw((40, 44, 35, 60), (45, 60, 50, 84)))  # no row is wider than 35
        assert ratio.value == pytest.approx(50 / 90)
        assert ratio.heart == ((42, 35), (53, 84))

    def test_a_wide_row_of_one_lung_is_not_the_chest(self) -> None:
        lungs = draw(RIGHT_LUNG, LEFT_LUNG, (82, 90, 5, 110), (79, 82, 90, 99))  # a foot under both
        assert measure(lungs, HEART).chest == ((79, 10), (79, 99))

    def test_the_chest_is_as_wide_as_the_widest_row_across_both_lungs(self) -> None:
        lungs = draw((10, 50, 20, 39), (10, 90, 70, 89), (30, 30, 15, 39), (45, 45, 70, 99), (80, 80, 70, 115))
        # row 30: columns 15 to 89, 75; row 45: 20 to 99, 80; row 80, wider still, crosses one lung
        ratio = measure(lungs, HEART)
        assert ratio.chest == ((45, 20), (45, 99))
        assert ratio.value == pytest.approx(40 / 80)

    def test_of_equal_rows_the_lowest_is_drawn(self) -> None:
        assert measure(LUNGS, HEART).chest == ((79, 10), (79, 99))

    def test_gaps_within_a_row_do_not_matter(self) -> None:
        lungs = LUNGS & ~draw((40, 60, 20, 25), (30, 70, 80, 85))
        assert measure(lungs, HEART).value == pytest.approx(40 / 90)

    def test_a_turned_image_is_not_measured_across(self) -> None:
        assert measure_ctr(LUNGS.T, HEART.T) is None

    def test_lungs_that_touch_are_told_apart_at_the_mediastinum(self) -> None:
        ratio = measure(LUNGS | draw((20, 30, 40, 69)), HEART)
        assert ratio.value == pytest.approx(40 / 90)
        assert ratio.warnings == ("lungs touch",)

    def test_a_wide_row_of_one_of_two_touching_lungs_is_not_the_chest(self) -> None:
        lungs = LUNGS | draw((20, 30, 40, 69), (80, 90, 60, 119))
        assert measure(lungs, HEART).chest == ((79, 10), (79, 99))

    def test_specks_do_not_widen_the_chest(self) -> None:
        lungs = LUNGS | draw((40, 47, 2, 4), (60, 60, 118, 118))
        ratio = measure(lungs, HEART)
        assert ratio.value == pytest.approx(40 / 90)
        assert ratio.warnings == ()

    def test_a_lung_in_two_pieces_counts_whole_and_is_told(self) -> None:
        ratio = measure(LUNGS & ~draw((35, 36, 0, 50)) | draw((60, 60, 6, 10)), HEART)
        assert ratio.chest == ((60, 6), (60, 99))
        assert ratio.faults == ("the lung mask has 3 pieces",)

    def test_a_heart_in_pieces_counts_whole_and_is_told(self) -> None:
        ratio = measure(LUNGS, HEART | draw((70, 70, 80, 80)))
        assert ratio.value == pytest.approx(46 / 90)
        assert ratio.faults == ("the heart mask has 2 pieces",)

    def test_a_heart_beyond_the_lungs_is_told(self) -> None:
        assert measure(LUNGS, draw((40, 60, 5, 60))).warnings == ("the heart mask reaches beyond the lungs",)

    @pytest.mark.parametrize(
        "lungs",
        [
            draw(),
            draw(RIGHT_LUNG),
            draw((10, 40, 10, 39), (42, 79, 10, 39)),  # one lung, an upper and a lower piece
            draw(RIGHT_LUNG, (10, 20, 70, 99)),  # the second has less than a fifth of the first
            draw((10, 39, 10, 39), (41, 79, 70, 99)),  # no row crosses both
            draw((10, 79, 10, 99)),  # one plate
            np.indices(SHAPE).sum(axis=0) % 3 == 0,
            np.random.default_rng(0).random(SHAPE) > 0.9,
        ],
    )
    def test_none_without_two_lungs_side_by_side(self, lungs: np.ndarray) -> None:
        assert measure_ctr(lungs, HEART) is None

    def test_none_without_a_heart(self) -> None:
        assert measure_ctr(LUNGS, draw()) is None

    @pytest.mark.parametrize("seed", range(20))
    def test_lungs_of_chance_are_measured_as_pixel_by_pixel(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        dents = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2) > 0.1
        lungs = draw((10, 79, 3, 45), (20, 85, 60, 117)) & ~dents | LUNGS & ~ndimage.binary_erosion(LUNGS)
        labels, count = ndimage.label(lungs, np.ones((3, 3)))
        large = [each for i in range(count) if (each := labels == i + 1).sum() >= 0.05 * lungs.sum()]
        left, right = ([each for each in large if (each[:, :50].any()) == side] for side in (True, False))
        first, second, both = np.any(left, axis=0), np.any(right, axis=0), np.any(large, axis=0)
        reach = {row: np.flatnonzero(both[row]) for row in range(100) if first[row].any() and second[row].any()}
        row = max(reach, key=lambda row: (np.ptp(reach[row]), row))
        ratio = measure(lungs, HEART)
        assert ratio.chest == ((row, reach[row][0]), (row, reach[row][-1]))
        assert ratio.faults == ((f"the lung mask has {len(large)} pieces",) if len(large) > 2 else ())


class TestLines:
    def test_borders_in_one_row_are_joined_by_a_straight_line(self) -> None:
        heart, chest = measure(LUNGS, draw((50, 50, 30, 79))).lines
        assert heart == ((50, 30), (50, 79))
        assert chest == ((79, 10), (79, 99))

    def test_borders_in_different_rows_are_joined_by_a_step_in_the_middle_of_the_chest(self) -> None:
        heart, _ = measure(LUNGS, draw((40, 44, 35, 60), (45, 60, 50, 84))).lines
        assert heart == ((42, 35), (42, 54.5), (53, 54.5), (53, 84))

    def test_the_step_of_a_heart_on_one_side_is_in_its_own_middle(self) -> None:
        heart, _ = measure(LUNGS, draw((40, 44, 60, 70), (45, 60, 65, 80))).lines
        assert heart == ((42, 60), (42, 70), (53, 70), (53, 80))


def test_areas_in_pixels_and_square_millimetres() -> None:
    areas = measure_areas(np.stack([LUNGS, draw()]), ["lungs", "heart"], (0.2, 0.1))
    assert areas == pytest.approx(
        {"area_px_lungs": 4200, "area_mm2_lungs": 84.0, "area_px_heart": 0, "area_mm2_heart": 0.0}
    )


def test_areas_without_spacing_are_in_pixels_only() -> None:
    assert measure_areas(LUNGS[None], ["lungs"], None) == {"area_px_lungs": 4200}


def test_empty_masks_are_named() -> None:
    assert find_empty(np.stack([draw(), LUNGS, draw()]), ["a", "b", "c"]) == ["empty_a", "empty_c"]


class TestImplausible:
    # the box has 300 of 12,000 pixels: area 0.025; center 25 of 100 rows and 45 of 120 columns
    BOX = draw((20, 29, 30, 59))
    ROUND_IT = {"area": (0.02, 0.03), "row": (0.2, 0.3), "column": (0.3, 0.4)}  # noqa: RUF012

    def find(self, **ranges: Any) -> list[str]:
        known = {"heart": Range(**{**self.ROUND_IT, **ranges})}
        return find_implausible(np.stack([self.BOX, draw()]), ["heart", "lungs"], known)

    def test_within_the_range_is_plausible(self) -> None:
        assert self.find() == []

    @pytest.mark.parametrize(
        ("name", "known"),
        [("area", (0.02, 0.0245)), ("area", (0.0255, 0.03)), ("row", (0.0, 0.22)), ("column", (0.4, 0.5))],
    )
    def test_beyond_a_tenth_of_the_range_is_implausible(self, name: str, known: tuple[float, float]) -> None:
        assert self.find(**{name: known}) == ["implausible_heart"]

    @pytest.mark.parametrize(
        ("name", "known"),
        [("area", (0.02, 0.0246)), ("area", (0.0254, 0.03)), ("row", (0.0, 0.23)), ("column", (0.38, 0.5))],
    )
    def test_within_a_tenth_of_the_range_is_plausible(self, name: str, known: tuple[float, float]) -> None:
        assert self.find(**{name: known}) == []

    @pytest.mark.parametrize(("outline", "said"), [(4.39, ["implausible_heart"]), (4.41, []), (None, [])])
    def test_an_outline_a_twentieth_longer_than_any_in_training_is_implausible(
        self, outline: float | None, said: list[str]
    ) -> None:
        assert measure_outline(self.BOX) == pytest.approx(80 / 300**0.5)  # 4.62, 1.05 times 4.40
        assert self.find(outline=outline and (0, outline)) == said

    def test_classes_without_a_range_and_empty_masks_are_passed_over(self) -> None:
        known = {"lungs": Range(area=(0.1, 0.2), row=(0.4, 0.5), column=(0.4, 0.5))}
        assert find_implausible(np.stack([self.BOX, draw()]), ["heart", "lungs"], known) == []

    @pytest.mark.parametrize("seed", range(5))
    def test_a_mask_of_training_is_measured_as_it_was_in_training(self, seed: int) -> None:
        mask = np.random.default_rng(seed).random((1, 37, 53)) > 0.4
        ranges = measure_ranges(SimpleNamespace(labels=[torch.from_numpy(mask).float()]), ["heart"])
        assert find_implausible(mask, ["heart"], ranges) == []  # the range is a single point
