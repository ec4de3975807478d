import numpy as np
import pytest
from scipy import ndimage

from medseg.inference.postprocess import clean_masks
from tests.support.odd_masks import ODD_MASKS

CORNERS = np.ones((3, 3), bool)


def to_mask(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def clean(mask: np.ndarray, number: int | None = None, fill_holes: bool = False) -> np.ndarray:
    masks = mask[None].copy()
    clean_masks(masks, ["lungs"], {} if number is None else {"lungs": number}, fill_holes)
    return masks[0]


def clean_with_scipy(mask: np.ndarray, number: int, fill_holes: bool) -> np.ndarray:
    labels, count = ndimage.label(mask, CORNERS)
    pieces = [labels == label for label in range(1, count + 1)]
    largest = sorted(pieces, key=lambda piece: (-piece.sum(), piece.argmax()))[:number]
    kept = np.any([np.zeros_like(mask), *largest], axis=0)
    return ndimage.binary_fill_holes(kept) if fill_holes else kept


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


@pytest.mark.parametrize("fill_holes", [False, True])
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("mask", ODD_MASKS)
def test_cleaned_masks_are_those_of_scipy(mask: np.ndarray, number: int, fill_holes: bool) -> None:
    np.testing.assert_array_equal(clean(mask, number, fill_holes), clean_with_scipy(mask, number, fill_holes))


def test_a_hole_is_filled_where_its_wall_closes_at_a_corner_only() -> None:
    mask = to_mask("..##.", ".#..#", ".#..#", "..##.")
    np.testing.assert_array_equal(clean(mask, fill_holes=True), to_mask("..##.", ".####", ".####", "..##."))


def test_a_bay_open_to_the_border_of_the_image_is_no_hole() -> None:
    mask = to_mask("#.#", "#.#", "###")
    np.testing.assert_array_equal(clean(mask, fill_holes=True), mask)


@pytest.mark.parametrize("mask", ODD_MASKS)
def test_filled_holes_are_those_of_scipy(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(clean(mask, fill_holes=True), ndimage.binary_fill_holes(mask))


def test_an_island_in_a_hole_goes_before_the_hole_is_filled() -> None:
    mask = to_mask("#####....", "#...#..##", "#.#.#....", "#...#....", "#####....")
    filled = to_mask("#####....").repeat(5, axis=0)
    np.testing.assert_array_equal(clean(mask, 1, fill_holes=True), filled)


def test_each_class_has_its_own_number_and_others_stay() -> None:
    mask = to_mask("#.##", "....", "#...")
    masks = np.stack([mask] * 3)
    clean_masks(masks, ["lungs", "heart", "other"], {"lungs": 2, "heart": 1}, False)
    np.testing.assert_array_equal(masks, [to_mask("#.##", "....", "...."), to_mask("..##", "....", "...."), mask])


def test_nothing_asked_for_changes_nothing() -> None:
    np.testing.assert_array_equal(clean(ODD_MASKS[-1]), ODD_MASKS[-1])


def test_an_empty_mask_stays_empty() -> None:
    assert not clean(np.zeros((4, 5), bool), 1, fill_holes=True).any()
