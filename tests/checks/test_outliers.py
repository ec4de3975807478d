import numpy as np
import pytest

from medseg.checks.outliers import score_robustly


def test_score_is_that_of_the_median_and_its_deviation():
    """Median 5, median absolute deviation 2: (20 - 5) / (1.4826 * 2)."""
    scores = score_robustly([1, 2, 3, 4, 5, 6, 7, 8, 20], 0.1)
    assert scores[-1] == pytest.approx(15 / 2.9652)
    assert scores[4] == 0


def test_normal_values_are_no_outliers_and_their_scores_are_standard():
    scores = score_robustly(np.random.default_rng(0).normal(7, 3, 20_000).tolist(), 0.1)
    assert scores.std() == pytest.approx(1, abs=0.03)
    assert np.abs(scores).max() < 5


def test_set_that_does_not_vary_has_the_least_deviation():
    assert score_robustly([1.0] * 9 + [1.5], 0.1)[-1] == pytest.approx(5)


def test_few_values_have_no_outliers():
    assert not score_robustly([0, 0, 0, 0, 0, 0, 99], 0.1).any()
