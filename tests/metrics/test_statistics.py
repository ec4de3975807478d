import math

import numpy as np
import pytest
from scipy import stats

from medseg.metrics import statistics
from medseg.metrics.statistics import (
    Interval,
    adjust_holm,
    bland_altman,
    bootstrap,
    bootstrap_mean,
    compare_paired,
    count_needed,
)


def name_patients(numbers: np.ndarray) -> list[str]:
    return [f"patient{number:03d}" for number in numbers]


def one_each(number: int) -> list[str]:
    return name_patients(np.arange(number))


def cover(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def draw_clusters(rng: np.random.Generator, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Cases of 15 patients, one to four for each, similar within a patient. Their mean is .9."""
    which = np.repeat(np.arange(15), ([1, 2, 3, 4] * 4)[:15])
    noise = rng.normal(0, 0.015, (len(which), columns))
    return 0.9 + rng.normal(0, 0.03, (15, columns))[which] + noise, which


class TestCoverage:
    """Each column of 2000 is one simulated study; a rate has a standard error of half a per cent."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("number", "low", "high"), [(15, 0.92, 0.96), (40, 0.935, 0.96)], ids=["15 patients", "40 patients"]
    )
    def test_skewed_dice(self, number, low, high):
        values = np.random.default_rng(1).beta(38, 2, (number, 2000))  # mean .95, skew -1.3
        assert low < cover(bootstrap_mean(values, one_each(number), seed=0), 0.95) < high

    @pytest.mark.slow
    def test_normal_values(self):
        values = np.random.default_rng(2).normal(0.9, 0.03, (15, 2000))
        assert 0.93 < cover(bootstrap_mean(values, one_each(15), seed=0), 0.9) < 0.965

    @pytest.mark.slow
    def test_strongly_skewed_dice(self):
        values = np.random.default_rng(3).beta(9.5, 0.5, (15, 2000))  # skew -2.3: most near 1, some far below
        assert 0.89 < cover(bootstrap_mean(values, one_each(15), seed=0), 0.95) < 0.95

    @pytest.mark.slow
    def test_patients_with_several_cases(self):
        values, which = draw_clusters(np.random.default_rng(4), 2000)
        assert 0.91 < cover(bootstrap_mean(values, name_patients(which), seed=0), 0.9) < 0.96
        assert cover(bootstrap_mean(values, one_each(len(which)), seed=0), 0.9) < 0.85

    @pytest.mark.slow
    def test_missing_values(self):
        rng = np.random.default_rng(5)
        values = rng.beta(38, 2, (40, 2000))
        values[rng.random(values.shape) < 0.4] = np.nan
        assert 0.92 < cover(bootstrap_mean(values, one_each(40), seed=0), 0.95) < 0.96

    @pytest.mark.slow
    def test_other_levels(self):
        values = np.random.default_rng(6).normal(0.9, 0.03, (20, 2000))
        assert 0.77 < cover(bootstrap_mean(values, one_each(20), seed=0, level=0.8), 0.9) < 0.83


class TestInterval:
    def test_equal_to_scipy_at_the_widened_level(self):
        values = np.random.default_rng(7).beta(9.5, 0.5, 20)
        level = 1 - 2 * stats.norm.cdf(math.sqrt(20 / 19) * stats.t.ppf(0.025, 19))
        expected = stats.bootstrap(
            (values,), np.mean, confidence_level=level, n_resamples=100_000, method="BCa", rng=1
        ).confidence_interval
        found = bootstrap_mean(values[:, None], one_each(20), seed=0, number=100_000)[0]
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.001)  # it is 0.1 wide

    def test_columns_do_not_depend_on_each_other(self):
        values = np.random.default_rng(8).beta(38, 2, (30, 3))
        values[::4, 1] = np.nan
        together = bootstrap_mean(values, one_each(30), seed=5)
        for column, interval in enumerate(together):
            alone = bootstrap_mean(values[:, [column]], one_each(30), seed=5)[0]
            assert (alone.low, alone.high) == pytest.approx((interval.low, interval.high), rel=1e-12)

    def test_the_seed_decides(self):
        values = np.random.default_rng(9).beta(38, 2, (30, 1))
        assert bootstrap_mean(values, one_each(30), 1) == bootstrap_mean(values, one_each(30), 1)
        assert bootstrap_mean(values, one_each(30), 1) != bootstrap_mean(values, one_each(30), 2)

    def test_blocks_of_rows_change_nothing(self, monkeypatch):
        values = np.random.default_rng(19).beta(9.5, 0.5, (60, 2))
        whole = bootstrap_mean(values, one_each(60), seed=0), compare_paired(values, values[::-1], one_each(60), seed=0)
        monkeypatch.setattr(statistics, "_BLOCK", 7)
        found = bootstrap_mean(values, one_each(60), seed=0), compare_paired(values, values[::-1], one_each(60), seed=0)
        assert found[0] == whole[0]
        assert [paired.low for paired in found[1]] == [paired.low for paired in whole[1]]

    def test_the_order_of_cases_does_not_matter(self):
        values, which = draw_clusters(np.random.default_rng(10), 1)
        order = np.random.default_rng(11).permutation(len(which))
        there, back = (
            bootstrap_mean(values[o], name_patients(which[o]), seed=0)[0] for o in (np.arange(len(which)), order)
        )
        assert (there.low, there.high) == pytest.approx((back.low, back.high), rel=1e-12)

    def test_equal_values_have_an_interval_without_width(self):
        interval = bootstrap_mean(np.full((12, 1), 0.7), one_each(12), seed=0)[0]
        assert (interval.low, interval.high) == pytest.approx((0.7, 0.7))

    def test_nothing_can_be_said_from_one_patient(self):
        values = np.array([[0.8, 0.9], [0.7, 0.8], [np.nan, 0.9], [np.nan, 0.7]])
        first, second = bootstrap_mean(values, ["a", "a", "b", "b"], seed=0)
        assert math.isnan(first.low)
        assert math.isnan(first.high)
        assert second.low < second.high
        alone = bootstrap_mean(values[:2], ["a", "a"], seed=0)[0]
        assert math.isnan(alone.low)

    def test_a_column_without_values(self):
        interval = bootstrap_mean(np.full((9, 1), np.nan), one_each(9), seed=0)[0]
        assert math.isnan(interval.low)

    def test_no_cases(self):
        intervals = bootstrap_mean(np.empty((0, 2)), [], seed=0)
        assert [math.isnan(interval.low) for interval in intervals] == [True, True]

    def test_any_statistic_of_weights(self):
        """A ratio of sums over cases, like the article's mIoU, compared with scipy."""
        rng = np.random.default_rng(12)
        both, either = rng.integers(50, 90, 25), rng.integers(90, 120, 25)

        def ratio(weights: np.ndarray) -> np.ndarray:
            return (weights @ both / (weights @ either))[:, None]

        found = bootstrap(ratio, one_each(25), seed=0, number=100_000)[0]
        level = 1 - 2 * stats.norm.cdf(math.sqrt(25 / 24) * stats.t.ppf(0.025, 24))
        expected = stats.bootstrap(
            (both, either),
            lambda b, e, axis: b.sum(axis) / e.sum(axis),
            paired=True,
            confidence_level=level,
            n_resamples=100_000,
            rng=1,
        ).confidence_interval
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.0015)  # it is 0.12 wide


def compare(differences: list[float], patients: list[str]) -> float:
    first = np.array(differences, float)[:, None]
    return compare_paired(first, np.zeros_like(first), patients, seed=0)[0].p_value


class TestComparison:
    def test_exact_p_values_by_hand(self):
        assert compare([0.1, 0.2, 0.3, 0.4, 0.5], one_each(5)) == 2 / 32  # as far only with all signs alike
        # |+-3 +-1 +-1| reaches |3 + 1 - 1| = 3 in 6 of 8
        assert compare([3, 1, -1], one_each(3)) == 6 / 8

    def test_a_patients_cases_flip_together(self):
        assert compare([1, 1, 1], ["a", "a", "b"]) == 2 / 4  # |+-2 +-1| reaches 3 in 2 of 4

    @pytest.mark.parametrize(("number", "tolerance"), [(10, 1e-12), (40, 0.01)], ids=["exact", "drawn"])
    def test_equal_to_scipy(self, number, tolerance):
        differences = np.random.default_rng(13).normal(0.4, 1, number)
        expected = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=50_000, rng=1
        ).pvalue
        assert compare(list(differences), one_each(number)) == pytest.approx(expected, abs=tolerance)

    def test_difference_and_interval(self):
        rng = np.random.default_rng(14)
        first, second = rng.beta(38, 2, (30, 2)), rng.beta(38, 2, (30, 2))
        second[:5, 1] = np.nan
        found = compare_paired(first, second, one_each(30), seed=3)
        for column, interval in enumerate(bootstrap_mean(first - second, one_each(30), seed=3)):
            assert found[column].difference == pytest.approx(np.nanmean((first - second)[:, column]))
            assert (found[column].low, found[column].high) == (interval.low, interval.high)

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [12, 30], ids=["all flips", "drawn flips"])
    def test_an_absent_difference_is_found_at_the_nominal_rate(self, number):
        """Two equally good models, differences skewed case by case; 2000 studies, standard error .005."""
        rng = np.random.default_rng(15)
        hardness = rng.beta(38, 2, (number, 2000))
        first, second = (hardness - rng.exponential(0.02, hardness.shape) for _ in range(2))
        p_values = np.array([paired.p_value for paired in compare_paired(first, second, one_each(number), seed=0)])
        assert np.mean(p_values <= 0.05) < 0.06
        assert np.mean(p_values <= 0.05) > 0.03
        assert np.mean(p_values <= 0.01) < 0.0175

    @pytest.mark.slow
    def test_an_absent_difference_between_patients_with_several_cases(self):
        rng = np.random.default_rng(16)
        (first, which), (second, _) = draw_clusters(rng, 2000), draw_clusters(rng, 2000)
        p_values = [paired.p_value for paired in compare_paired(first, second, name_patients(which), seed=0)]
        assert 0.03 < np.mean(np.array(p_values) <= 0.05) < 0.065
        wrong = [paired.p_value for paired in compare_paired(first, second, one_each(len(which)), seed=0)]
        assert np.mean(np.array(wrong) <= 0.05) > 0.15

    def test_a_planted_difference_is_found(self):
        rng = np.random.default_rng(17)
        second = rng.beta(38, 2, (30, 200))
        first = second + rng.normal(0.01, 0.012, second.shape)
        found = compare_paired(first, second, one_each(30), seed=0)
        assert np.mean([paired.p_value <= 0.01 for paired in found]) > 0.9
        assert cover([Interval(paired.low, paired.high) for paired in found], 0.01) > 0.88

    @pytest.mark.slow
    def test_an_absent_difference_is_rarely_found_in_any_of_three_classes(self):
        rng = np.random.default_rng(20)
        shape = (20, 3 * 1000)  # 1000 studies of three classes that are hard in the same patients
        hardness = np.repeat(rng.beta(38, 2, (20, 1000)), 3, axis=1)
        first, second = (hardness - rng.exponential(0.02, shape) for _ in range(2))
        p_values = [paired.p_value for paired in compare_paired(first, second, one_each(20), seed=0)]
        families = np.reshape(p_values, (1000, 3))
        assert 0.03 < np.mean([min(adjust_holm(family)) <= 0.05 for family in families.tolist()]) < 0.065
        assert np.mean(families.min(axis=1) <= 0.05) > 0.1  # uncorrected

    def test_models_that_agree(self):
        same = np.random.default_rng(18).random((20, 1))
        found = compare_paired(same, same.copy(), one_each(20), seed=0)[0]
        assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)

    def test_nothing_in_common(self):
        first, second = np.array([[0.5], [np.nan]]), np.array([[np.nan], [0.5]])
        found = compare_paired(first, second, ["a", "b"], seed=0)[0]
        assert math.isnan(found.difference)
        assert math.isnan(found.p_value)


class TestHolm:
    def test_by_hand(self):
        # sorted: .005 * 4, .01 * 3, .03 * 2, .04 * 1, which may not be less than the one before
        assert adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_no_more_than_one(self):
        assert adjust_holm([0.6, 0.9]) == [1, 1]

    def test_what_was_not_tested_does_not_count(self):
        adjusted = adjust_holm([0.02, math.nan, 0.04])
        assert adjusted[0] == pytest.approx(0.04)
        assert math.isnan(adjusted[1])
        assert adjusted[2] == pytest.approx(0.04)

    def test_none(self):
        assert adjust_holm([]) == []


class TestCountNeeded:
    @pytest.mark.parametrize(("num_tests", "needed"), [(1, 6), (2, 7), (3, 7), (4, 8)])
    def test_by_the_least_p_value_that_there_is(self, num_tests, needed):
        """All differences of one sign."""
        least = [adjust_holm([compare([1] * patients, one_each(patients))] * num_tests)[0] for patients in range(1, 10)]
        assert count_needed(num_tests) == needed == 1 + next(i for i, p in enumerate(least) if p < 0.05)


class TestAgreement:
    def test_by_hand(self):
        found = bland_altman([1, 2, 3, 4, 5])  # standard deviation sqrt(2.5)
        assert (found.bias, found.low, found.high) == pytest.approx((3, 3 - 3.09903, 3 + 3.09903), abs=1e-5)

    def test_missing_differences(self):
        assert bland_altman([1, math.nan, 2, 3, 4, 5]) == bland_altman([1, 2, 3, 4, 5])

    def test_limits_need_two(self):
        found = bland_altman([0.25])
        assert found.bias == 0.25
        assert math.isnan(found.low)
        assert math.isnan(bland_altman([]).bias)
