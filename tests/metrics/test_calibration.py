import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.calibration import calibration_curve

from medseg.metrics.calibration import CalibrationCurve, find_band, measure_calibration


def draw_square(size: int, first: int, last: int) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[first : last + 1, first : last + 1] = True
    return mask


def draw_picture(rows: list[str]) -> np.ndarray:
    return np.array([[dot == "#" for dot in row] for row in rows])


def draw_probability(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    return np.clip(rng.beta(2, 2, mask.shape) * 0.8 + 0.2 * mask, 0, 1).astype(np.float32)


class TestBand:
    def test_both_sides_of_the_border(self):
        pixel = draw_picture([".....", ".....", "..#..", ".....", "....."])
        assert (find_band(pixel, 0) == draw_picture([".....", "..#..", ".###.", "..#..", "....."])).all()
        assert (find_band(pixel, 1) == draw_picture(["..#..", ".###.", "#####", ".###.", "..#.."])).all()

    def test_the_edge_of_the_image_is_no_border(self):
        left = np.zeros((6, 9), bool)
        left[:, :4] = True
        assert np.flatnonzero(find_band(left, 1).all(axis=0)).tolist() == [2, 3, 4, 5]
        assert not find_band(left, 1)[:, [0, 1, 6, 7, 8]].any()

    @pytest.mark.parametrize("width", [0.5, 2.4, 5, 7.7])
    def test_euclidean_distance(self, width):
        mask = np.random.default_rng(1).random((30, 40)) > 0.995
        pixels = np.argwhere(np.ones(mask.shape))
        steps = cdist(pixels, pixels, "cityblock") == 1
        differs = mask.ravel()[:, None] != mask.ravel()
        contour = (steps & differs).any(axis=1)
        near = (cdist(pixels, pixels[contour]) <= width).any(axis=1)
        assert (find_band(mask, width).ravel() == near).all()

    @pytest.mark.parametrize("value", [False, True])
    def test_no_border(self, value):
        assert not find_band(np.full((8, 8), value), 3).any()


class TestCurve:
    def test_by_hand(self):
        reference = draw_picture(["....", ".##.", ".##.", "...."])
        probability = np.array(
            [[0.1, 0.1, 0.3, 0.9], [0.3, 0.8, 0.8, 0.3], [0.3, 0.8, 0.4, 0.3], [0.9, 0.1, 0.1, 0.9]], np.float32
        )
        curve = measure_calibration(probability, reference, band=0, num_bins=4)
        # without the corners: three of .1; five of .3 and the .4, which is foreground; three of .8, all foreground
        assert curve.pixels.tolist() == [3, 6, 0, 3]
        assert curve.foreground.tolist() == [0, 1, 0, 3]
        assert curve.predicted == pytest.approx([0.1, 1.9 / 6, math.nan, 0.8], nan_ok=True)
        assert curve.observed == pytest.approx([0, 1 / 6, math.nan, 1], nan_ok=True)
        assert curve.error == pytest.approx((3 * 0.1 + 6 * 0.15 + 3 * 0.2) / 12)

    def test_equal_to_scikit_learn(self):
        reference = draw_square(60, 20, 39)
        probability = draw_probability(np.random.default_rng(2), reference)
        curve = measure_calibration(probability, reference, band=0.1)
        near = find_band(reference, 6)
        observed, predicted = calibration_curve(reference[near], probability[near], n_bins=20)
        filled = curve.pixels > 0
        assert curve.observed[filled] == pytest.approx(observed)
        assert curve.predicted[filled] == pytest.approx(predicted)
        weights = curve.pixels[filled] / near.sum()
        assert curve.error == pytest.approx(float(weights @ abs(observed - predicted)))

    def test_cases_add_up_to_their_pixels(self):
        rng = np.random.default_rng(3)
        references = [draw_square(40, first, 25) for first in (5, 10, 15)]
        probabilities = [draw_probability(rng, reference) for reference in references]
        summed = sum(
            (measure_calibration(p, r, band=0.1) for p, r in zip(probabilities[1:], references[1:], strict=True)),
            start=measure_calibration(probabilities[0], references[0], band=0.1),
        )
        near = [find_band(reference, 4) for reference in references]
        truth = np.concatenate([r[n] for r, n in zip(references, near, strict=True)])
        chances = np.concatenate([p[n] for p, n in zip(probabilities, near, strict=True)])
        observed, predicted = calibration_curve(truth, chances, n_bins=20)
        assert summed.observed[summed.pixels > 0] == pytest.approx(observed)
        assert summed.predicted[summed.pixels > 0] == pytest.approx(predicted)

    def test_probabilities_that_are_right_have_no_error(self):
        rng = np.random.default_rng(4)
        probability = rng.random((400, 400)).astype(np.float32)
        reference = rng.random((400, 400)) < probability
        assert measure_calibration(probability, reference).error < 0.01
        assert measure_calibration(probability**2, reference).error > 0.1

    def test_the_ends_of_the_scale(self):
        curve = measure_calibration(np.array([[0.0, 1.0]], np.float32), np.array([[False, True]]), num_bins=5)
        assert curve.pixels.tolist() == [1, 0, 0, 0, 1]
        assert curve.error == 0

    def test_pixels_outside_the_band_do_not_count(self):
        reference = draw_square(100, 40, 59)
        probability = np.full((100, 100), 0.5, np.float32)
        wrong_far_away = probability.copy()
        wrong_far_away[:30] = 1
        assert measure_calibration(wrong_far_away, reference).error == measure_calibration(probability, reference).error

    @pytest.mark.parametrize("value", [False, True])
    def test_a_reference_without_a_contour_adds_nothing(self, value):
        probability = np.full((20, 20), 0.3, np.float32)
        curve: CalibrationCurve = measure_calibration(probability, np.full((20, 20), value))
        assert curve.pixels.sum() == 0
        assert math.isnan(curve.error)
        other = measure_calibration(probability, draw_square(20, 5, 9))
        assert (curve + other).error == other.error


def test_ignored_pixels_are_in_no_bin():
    rng = np.random.default_rng(3)
    mask = draw_square(40, 10, 25)
    probability, ignored = draw_probability(rng, mask), np.zeros(mask.shape, bool)
    ignored[:, 20:] = True
    whole, part = (measure_calibration(probability, mask, ignored=hidden) for hidden in (None, ignored))
    rest = measure_calibration(probability, mask, ignored=~ignored)
    assert 0 < part.pixels.sum() < whole.pixels.sum()
    assert (part.pixels + rest.pixels == whole.pixels).all()
