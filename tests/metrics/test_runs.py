import numpy as np
import pytest
from scipy import ndimage

from medseg.metrics.runs import count_columns, count_pixels, find_gaps, find_runs, label_runs, paint
from tests.support.odd_masks import ODD_MASKS

CORNERS = np.ones((3, 3), bool)


@pytest.mark.parametrize("mask", ODD_MASKS)
def test_runs_are_the_mask(mask: np.ndarray) -> None:
    runs, drawn = find_runs(mask), np.zeros_like(mask)
    paint(drawn, runs, True)
    np.testing.assert_array_equal(drawn, mask)
    assert len(runs) == np.count_nonzero(mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1])
    paint(drawn, runs, False)
    assert not drawn.any()


@pytest.mark.parametrize("mask", ODD_MASKS)
def test_gaps_are_the_runs_of_the_padded_background(mask: np.ndarray) -> None:
    gaps, expected = find_gaps(find_runs(mask), mask.shape), find_runs(~np.pad(mask, 1))
    for found, padded in ((gaps.row, expected.row), (gaps.start, expected.start), (gaps.stop, expected.stop)):
        np.testing.assert_array_equal(found + 1, padded)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("mask", ODD_MASKS)
def test_pieces_are_those_of_scipy_in_reading_order(mask: np.ndarray, corners: bool) -> None:
    runs = find_runs(mask)
    labels = label_runs(runs, corners)
    expected, count = ndimage.label(mask, CORNERS if corners else None)
    at_start = expected[runs.row, runs.start]
    _, first = np.unique(at_start, return_index=True)
    numbers = np.zeros(count + 1, int)
    numbers[at_start[np.sort(first)]] = np.arange(count)
    np.testing.assert_array_equal(labels, numbers[at_start])
    assert count_pixels(runs, labels).sum() == np.count_nonzero(mask)
    assert count_pixels(runs, labels).tolist() == [np.count_nonzero(expected == at_start[i]) for i in np.sort(first)]


@pytest.mark.parametrize("mask", ODD_MASKS)
def test_pixels_in_columns(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(count_columns(find_runs(mask), mask.shape[1]), mask.sum(axis=0))
