import numpy as np
import pytest
from scipy import ndimage

from medseg.inference.postprocess import clean_masks

CORNERS = np.ones((3, 3), bool)


def to_mask(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def clean(mask: np.ndarray, number: int | None = None, fill_holes: bool = False) -> np.ndarray:
    return clean_masks(mask[None], ["lungs"], {} if number is None else {"lungs": number}, fill_holes)[0]


def blobs(seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(120, 90)), 2)
    return noise > 0.05


def test_the_largest_pieces_are_kept() -> None:
    mask = to_mask("##..#..###", "##.....###", "....#.....", "..##......")
    np.testing.assert_array_equal(clean(mask, 1), to_mask(".......###", ".......###", "..........", ".........."))
    np.testing.assert_array_equal(clean(mask, 2), to_mask("##.....###", "##.....###", "..........", ".........."))


def test_pixels_that_touch_at_a_corner_are_one_piece() -> None:
    mask = to_mask("#...##", ".#..##", "..#...", "...##.")
    np.testing.assert_array_equal(clean(mask, 1), to_mask("#.....", ".#....", "..#...", "...##."))


def test_of_equal_pieces_the_higher_then_the_left_one_is_kept() -> None:
    mask = to_mask("......##", "##......", "......##", "##......")
    np.testing.assert_array_equal(clean(mask, 1), to_mask("......##", "........", "........", "........"))
    side_by_side = to_mask("........", ".##.##..", "........")
    np.testing.assert_array_equal(clean(side_by_side, 1), to_mask("........", ".##.....", "........"))


def test_more_pieces_than_there_are_change_nothing() -> None:
    mask = to_mask("#.#", "...")
    np.testing.assert_array_equal(clean(mask, 5), mask)


@pytest.mark.parametrize("seed", range(5))
def test_kept_pieces_are_those_of_scipy(seed: int) -> None:
    mask = blobs(seed)
    labels, count = ndimage.label(mask, CORNERS)
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    largest = np.argsort(-sizes, kind="stable")[:3] + 1
    np.testing.assert_array_equal(clean(mask, 3), np.isin(labels, largest))


def test_a_hole_is_filled_where_its_wall_closes_at_a_corner_only() -> None:
    mask = to_mask("..##.", ".#..#", ".#..#", "..##.")
    np.testing.assert_array_equal(clean(mask, fill_holes=True), to_mask("..##.", ".####", ".####", "..##."))


def test_a_bay_open_to_the_border_of_the_image_is_no_hole() -> None:
    mask = to_mask("#.#", "#.#", "###")
    np.testing.assert_array_equal(clean(mask, fill_holes=True), mask)


@pytest.mark.parametrize("seed", range(5))
def test_filled_holes_are_those_of_scipy(seed: int) -> None:
    mask = blobs(seed)
    np.testing.assert_array_equal(clean(mask, fill_holes=True), ndimage.binary_fill_holes(mask))


def test_an_island_in_a_hole_goes_before_the_hole_is_filled() -> None:
    mask = to_mask("#####....", "#...#..##", "#.#.#....", "#...#....", "#####....")
    filled = to_mask("#####....").repeat(5, axis=0)
    np.testing.assert_array_equal(clean(mask, 1, fill_holes=True), filled)


def test_each_class_has_its_own_number_and_others_stay() -> None:
    mask = to_mask("#.##", "....", "#...")
    cleaned = clean_masks(np.stack([mask] * 3), ["lungs", "heart", "other"], {"lungs": 2, "heart": 1}, False)
    np.testing.assert_array_equal(cleaned, [to_mask("#.##", "....", "...."), to_mask("..##", "....", "...."), mask])


def test_nothing_asked_for_changes_nothing() -> None:
    masks = np.stack([blobs(0), blobs(1)])
    np.testing.assert_array_equal(clean_masks(masks, ["lungs", "heart"], {}, False), masks)


def test_the_masks_given_stay_as_they_were() -> None:
    masks = np.stack([blobs(0), blobs(1)])
    before = masks.copy()
    cleaned = clean_masks(masks, ["lungs", "heart"], {"lungs": 1}, True)
    np.testing.assert_array_equal(masks, before)
    assert (cleaned.dtype, cleaned.shape) == (np.bool_, masks.shape)


def test_an_empty_mask_stays_empty() -> None:
    assert not clean(np.zeros((4, 5), bool), 1, fill_holes=True).any()
