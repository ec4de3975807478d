import math
from typing import get_args

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from medseg.data.preprocess import measure_range
from medseg.data.stress import STRESSES, Stress, StressName, apply_stress

NAMES = [stress.name for stress in STRESSES]
MOVES = ("rotation", "shift")
NO_MASKS = np.zeros((0, 40, 40), bool)


def draw_picture(rows: int = 100, columns: int = 120) -> np.ndarray:
    return np.random.default_rng(1).uniform(200, 3000, (rows, columns)).astype(np.float32)


def draw_masks(rows: int = 100, columns: int = 120) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    disc = (y - 0.4 * rows) ** 2 + (x - 0.6 * columns) ** 2 <= (0.1 * rows) ** 2
    bar = (abs(y - 0.5 * rows) < 0.2 * rows) & (abs(x - 0.4 * columns) < 0.05 * columns)
    return np.stack([disc, bar])


def draw_known(*rare: float) -> np.ndarray:
    """A picture whose contrast reaches from 0 to 100, and which has `rare` values at [0, 0], [0, 1] and so on."""
    picture = np.random.default_rng(2).permutation(np.repeat([0, 100], 800)).reshape(40, 40).astype(np.float32)
    picture[0, : len(rare)] = rare
    return picture


def stress(name: StressName, level: float, picture: np.ndarray, masks: np.ndarray = NO_MASKS, seed: int = 0) -> tuple:
    return apply_stress(name, level, picture, masks, np.random.default_rng(seed))


def stress_known(name: StressName, level: float, *rare: float) -> list[float]:
    return stress(name, level, draw_known(*rare))[0][0, : len(rare)].tolist()


class TestList:
    def test_every_stress_has_five_levels_in_order(self):
        assert list(get_args(StressName)) == NAMES
        for each in STRESSES:
            assert isinstance(each, Stress)
            assert len(each.levels) == 5
            assert list(each.levels) == sorted(each.levels)
            assert 0 not in each.levels
            assert each.unit

    @pytest.mark.parametrize("name", NAMES)
    def test_level_0_is_the_picture_as_it_is(self, name):
        picture, masks = draw_picture(), draw_masks()
        pixels, moved = stress(name, 0, picture, masks)
        assert (pixels == picture).all()
        assert (moved == masks).all()

    @pytest.mark.parametrize("each", STRESSES, ids=NAMES)
    def test_every_level_changes_the_picture_and_nothing_in_place(self, each):
        size = 240, 260
        picture, masks = draw_picture(*size), draw_masks(*size)
        spoilt = []
        for level in each.levels:
            pixels, moved = stress(each.name, level, picture, masks)
            assert pixels.dtype == np.float32
            assert moved.dtype == np.bool_
            assert pixels.shape == picture.shape
            assert moved.shape == masks.shape
            assert np.isfinite(pixels).all()
            assert (moved == masks).all() == (each.name not in MOVES)
            spoilt.append(pixels)
        assert all((one != other).any() for one, other in zip([picture, *spoilt], spoilt, strict=False))
        assert (picture == draw_picture(*size)).all()
        assert (masks == draw_masks(*size)).all()

    @pytest.mark.parametrize("each", STRESSES, ids=NAMES)
    def test_the_seed_decides(self, each):
        picture, masks = draw_picture(), draw_masks()
        one, other = (stress(each.name, each.levels[-1], picture, masks, seed=7) for _ in range(2))
        assert (one[0] == other[0]).all()
        assert (one[1] == other[1]).all()

    @pytest.mark.parametrize("name", ["rotation", "shift", "noise", "collimation", "marker"])
    def test_another_seed_goes_another_way(self, name):
        seen = {stress(name, 10, draw_picture(), draw_masks(), seed)[0].tobytes() for seed in range(8)}
        assert len(seen) > 1


class TestRotation:
    @pytest.mark.parametrize("shape", [(40, 40), (41, 41)])
    def test_a_quarter_turn(self, shape):
        picture, masks = draw_picture(*shape), draw_masks(*shape)
        seen = set()
        for seed in range(8):
            pixels, moved = stress("rotation", 90, picture, masks, seed)
            turns = [k for k in (1, 3) if np.allclose(pixels, np.rot90(picture, k), rtol=1e-4)]
            assert len(turns) == 1
            assert (moved == np.rot90(masks, turns[0], axes=(1, 2))).all()
            seen |= set(turns)
        assert seen == {1, 3}

    def test_a_disc_goes_round_the_center_with_its_mask(self):
        masks = draw_masks()
        pixels, moved = stress("rotation", 20, masks[0].astype(np.float32), masks)
        row, column = 40 - 49.5, 72 - 59.5
        expected = [
            (49.5 + row * math.cos(a) - column * math.sin(a), 59.5 + row * math.sin(a) + column * math.cos(a))
            for a in (math.radians(20), math.radians(-20))
        ]
        assert any(center_of_mass(pixels) == pytest.approx(place, abs=0.05) for place in expected)
        assert center_of_mass(moved[0]) == pytest.approx(center_of_mass(pixels), abs=0.1)
        assert (moved[0] != (pixels > 0.5)).sum() < 0.05 * masks[0].sum()

    def test_outside_the_picture_is_its_least_value_and_no_class(self):
        pixels, moved = stress("rotation", 30, draw_picture() + 500, np.ones((1, 100, 120), bool))
        corners = np.ix_([0, -1], [0, -1])
        assert pixels[corners] == pytest.approx((draw_picture() + 500).min())
        assert not moved[0][corners].any()


class TestShift:
    def test_whole_pixels_in_a_drawn_direction(self):
        picture, masks = draw_picture() + 500, draw_masks()
        for seed in range(5):
            pixels, moved = stress("shift", 10, picture, masks, seed)
            steps = np.subtract(center_of_mass(moved[0]), center_of_mass(masks[0])).round().astype(int)
            assert math.hypot(*steps) == pytest.approx(10, abs=0.75)  # of 100 rows, the shorter side
            framed = np.pad(picture, 20, constant_values=picture.min())
            at = 20 - steps
            assert (pixels == framed[at[0] : at[0] + 100, at[1] : at[1] + 120]).all()
            assert (moved == np.pad(masks, 20)[20:-20, at[0] : at[0] + 100, at[1] : at[1] + 120]).all()

    def test_the_same_direction_at_every_level(self):
        one, other = (center_of_mass(stress("shift", level, draw_picture(), draw_masks())[1][0]) for level in (10, 20))
        start = center_of_mass(draw_masks()[0])
        assert np.subtract(other, start) == pytest.approx(2 * np.subtract(one, start), abs=1)


class TestGrayValues:
    def test_more_exposure_is_darker_and_cut_off(self):
        assert stress_known("exposure", 20, 100, 50, 25, 10) == pytest.approx([80, 30, 5, 0])

    def test_less_exposure_is_brighter_and_cut_off(self):
        assert stress_known("exposure", -20, 0, 50, 75, 90) == pytest.approx([20, 70, 95, 100])

    def test_gamma(self):
        assert stress_known("gamma", 1, 0, 100, 50, 25) == pytest.approx([0, 100, 25, 6.25], abs=1e-4)
        assert stress_known("gamma", -1, 0, 100, 25, 81) == pytest.approx([0, 100, 50, 90], abs=1e-4)

    def test_gamma_leaves_what_lies_outside_the_contrast(self):
        assert stress_known("gamma", 1, 150, -20, 50) == pytest.approx([150, -20, 25], abs=1e-4)

    def test_complete_inversion_is_the_negative(self):
        picture = draw_known(30, 60)
        assert stress("inversion", 100, picture)[0] == pytest.approx(100 - picture, abs=1e-4)

    def test_partial_inversion_folds_the_bright_end_over(self):
        assert stress_known("inversion", 20, 0, 50, 80, 90, 100) == pytest.approx([0, 50, 80, 70, 60], abs=1e-4)
        # beyond one half the fold lies below the range and all is raised by as much: .4 -> + .2
        assert stress_known("inversion", 60, 0, 25, 40, 50, 100) == pytest.approx([20, 45, 60, 50, 0], abs=1e-4)

    def test_noise(self):
        picture = np.tile(draw_known(), (8, 8))
        noise = stress("noise", 20, picture)[0] - picture
        assert noise.std() == pytest.approx(20, rel=0.01)
        assert noise.mean() == pytest.approx(0, abs=0.3)
        assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02

    def test_noise_of_one_seed_differs_in_strength_alone(self):
        picture = draw_known()
        weak, strong = (stress("noise", level, picture)[0] - picture for level in (10, 20))
        assert strong == pytest.approx(2 * weak, abs=1e-3)


class TestSharpness:
    def test_blur_of_a_dot(self):
        picture = np.zeros((101, 250), np.float32)
        picture[50, 100] = 1000
        blurred = stress("blur", 100 * 2 / 101, picture)[0]  # a standard deviation of 2 pixels
        assert blurred.sum() == pytest.approx(1000, rel=1e-4)
        assert blurred[50, 100] == pytest.approx(1000 / (2 * math.pi * 4), rel=0.01)
        assert blurred[50, 103] / blurred[50, 100] == pytest.approx(math.exp(-9 / 8), rel=1e-3)

    def test_blur_keeps_the_edges(self):
        assert stress("blur", 5, np.full((30, 30), 7, np.float32))[0] == pytest.approx(7)

    def test_lower_resolution_by_hand(self):
        picture = np.tile(np.array([1, 2, 3], np.float32), (3, 1))
        # two pixels of 1.5: (1 + 2 / 2) / 1.5 and (2 / 2 + 3) / 1.5; half-way between them in the middle
        assert stress("resolution", 50, picture)[0] == pytest.approx(np.tile([4 / 3, 2, 8 / 3], (3, 1)))

    def test_lower_resolution_takes_means(self):
        picture = draw_picture(100, 150)
        coarse = stress("resolution", 5, picture)[0]
        blocks = picture.reshape(20, 5, 30, 5).mean(axis=(1, 3))
        assert coarse[2::5, 2::5] == pytest.approx(blocks, rel=1e-5)
        assert coarse[7, 2:8] == pytest.approx(np.linspace(blocks[1, 0], blocks[1, 1], 6), rel=1e-5)

    def test_pixels_cannot_become_smaller(self):
        picture = draw_picture(100, 120)
        assert stress("resolution", 0.5, picture)[0] == pytest.approx(picture, rel=1e-5)


class TestThingsInThePicture:
    def test_collimation(self):
        picture = draw_picture()
        seen = set()
        for seed in range(8):
            pixels = stress("collimation", 6, picture, draw_masks(), seed)[0]
            assert (pixels[6:-6, 6:-6] == picture[6:-6, 6:-6]).all()
            border = np.ones(picture.shape, bool)
            border[6:-6, 6:-6] = False
            seen |= set(pixels[border].tolist())
        assert seen == {picture.min(), picture.max()}

    def test_marker(self):
        picture = draw_picture(140, 200)
        letters = {
            4: ["####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"],  # R on the left, 3 % from the edges
            200 - 4 - 5: ["#....", "#....", "#....", "#....", "#....", "#....", "#####"],
        }
        seen = set()
        for seed in range(8):
            pixels = stress("marker", 5, picture, seed=seed)[0]  # 7 rows of 140
            drawn = pixels != picture
            left = int(np.flatnonzero(drawn.any(axis=0))[0])
            letter = np.array([[dot == "#" for dot in row] for row in letters[left]])
            assert (drawn[4:11, left : left + 5] == letter).all()
            assert drawn.sum() == letter.sum()
            assert (pixels[drawn] == picture.max()).all()
            seen.add(left)
        assert seen == set(letters)

    def test_a_larger_marker_is_the_same_letter(self):
        picture = draw_picture(140, 200)
        small, large = (stress("marker", level, picture)[0] != picture for level in (5, 10))
        (top, left), (top_large, left_large) = (np.argwhere(drawn).min(axis=0) for drawn in (small, large))
        enlarged = np.kron(small[top : top + 7, left : left + 5], np.ones((2, 2), bool))
        assert (large[top_large : top_large + 14, left_large : left_large + 10] == enlarged).all()


class TestDevices:
    """What detectors and their software add."""

    def test_grid_lines_have_the_asked_height_and_distance(self):
        picture = draw_picture(200, 260)
        changed, _ = stress("grid", 10, picture)
        lines = changed - picture
        assert np.allclose(lines, lines[0], atol=1e-3)
        low, high = measure_range(picture, None, (1, 99))
        assert 2 * np.sqrt(2) * lines.std() == pytest.approx(0.1 * (high - low), rel=0.05)  # of a sine
        strongest = np.abs(np.fft.rfft(lines[0] - lines[0].mean())).argmax()
        assert 260 / strongest == pytest.approx(0.015 * 200, rel=0.05)

    def test_bands_are_constant_within_and_differ_between(self):
        picture = draw_picture(200, 260)
        changed, _ = stress("banding", 10, picture)
        offsets = changed - picture
        assert np.allclose(offsets, offsets[:, :1], atol=1e-3)
        assert np.allclose(offsets[:8, 0], offsets[0, 0], atol=1e-3)
        assert len(np.unique(np.round(offsets[:, 0], 2))) == 25

    def test_a_halo_overshoots_on_both_sides_of_an_edge_and_leaves_flat_areas(self):
        picture = np.zeros((200, 200), np.float32)
        picture[:, 100:] = 100
        changed, _ = stress("halo", 100, picture)
        sharpened = changed[100]
        assert sharpened[100] > 130
        assert sharpened[99] < -30
        assert sharpened[[10, 190]] == pytest.approx([0, 100], abs=0.5)

    def test_a_ghost_is_a_faint_mirrored_copy_to_one_side(self):
        picture = np.zeros((100, 200), np.float32)
        picture[:, 150:160] = 100
        seen = set()
        for seed in range(8):
            changed, _ = stress("ghost", 20, picture, seed=seed)
            added = changed - picture
            assert set(np.unique(added).tolist()) == {0, 20}
            (columns,) = np.nonzero(added[50])
            seen.add((int(columns[0]), int(columns[-1])))
        assert seen == {(90, 99), (190, 199)}
