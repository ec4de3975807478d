import numpy as np
import pytest

from medseg.annotations import AnnotatedImage, Shape, draw_masks
from medseg.annotations.geometry import make_ellipse, make_rectangle, make_ring
from medseg.annotations.runs import encode
from medseg.annotations.shape import Runs
from medseg.errors import RadiographError
from tests.support.annotation_files import box

TRIANGLE = [(1.2, 1.1), (8.3, 2.2), (3.1, 7.4)]
BY_HAND = [(1, 1, 3), (2, 2, 7), (3, 2, 6), (4, 2, 5), (5, 3, 4), (6, 3, 3)]
"""Row, first and last column of the centers in the triangle. pycocotools 2.0.11, which works on fifths of a pixel,
lacks 3, 1: its center lies .04 pixel below the upper side."""
LABELME = [(1, 1, 1), (2, 1, 8), (3, 2, 7), (4, 2, 6), (5, 2, 5), (6, 3, 4), (7, 3, 3)]
"""The same as drawn by `shape_to_mask` of labelme 6.3.1."""


def rows_of(runs):
    mask = np.zeros((8, 10), bool)
    for row, first, last in runs:
        mask[row, first : last + 1] = True
    return mask


def draw(*rings, size=(8, 10), **more):
    return draw_masks(AnnotatedImage("a.png", None, (Shape("a", rings),), **more), size)["a"]


def test_pixels_whose_centers_are_inside():
    np.testing.assert_array_equal(draw(make_ring(TRIANGLE)), rows_of(BY_HAND))


def test_labelme_differs_by_one_pixel_at_the_outline():
    sides = zip(np.array(TRIANGLE), np.roll(TRIANGLE, -1, axis=0), strict=True)
    samples = np.concatenate([np.linspace(start, end, 200) for start, end in sides])
    for row, column in np.argwhere(draw(make_ring(TRIANGLE)) ^ rows_of(LABELME)):
        assert np.hypot(*(samples - (column + 0.5, row + 0.5)).T).min() < 1


def test_whole_coordinates_are_borders_between_pixels():
    np.testing.assert_array_equal(draw(make_rectangle(2, 1, 5, 3)), box(1, 2, 4, 7, (8, 10)))
    np.testing.assert_array_equal(draw(make_rectangle(2.5, 1.5, 5, 3)), box(1, 2, 4, 7, (8, 10)))  # left, top inside
    np.testing.assert_array_equal(draw(make_rectangle(2.51, 1.51, 5, 3)), box(2, 3, 5, 8, (8, 10)))


def test_a_ring_in_a_ring_is_a_hole():
    expected = box(1, 1, 7, 9, (8, 10)) & ~box(3, 3, 5, 6, (8, 10))
    np.testing.assert_array_equal(draw(make_rectangle(1, 1, 8, 6), make_rectangle(3, 3, 3, 2)), expected)


def test_beyond_the_border_is_cut_off():
    np.testing.assert_array_equal(draw(make_rectangle(-100, -100, 103, 102)), box(0, 0, 2, 3, (8, 10)))
    np.testing.assert_array_equal(draw(make_rectangle(-100, 4, 1000, 100)), box(4, 0, 8, 10, (8, 10)))
    assert not draw(make_rectangle(20, 20, 3, 3)).any()
    runs = Shape("a", runs=Runs(encode(np.ones((4, 5), bool)).pairs, "rows", (-2, 8, 4, 5)))
    np.testing.assert_array_equal(
        draw_masks(AnnotatedImage("", None, (runs,)), (8, 10))["a"], box(0, 8, 2, 10, (8, 10))
    )


def test_shapes_of_a_label_are_united():
    image = AnnotatedImage(
        "a.png",
        (8, 10),
        (
            Shape("a", (make_rectangle(1, 1, 4, 4),)),
            Shape("b", (make_rectangle(0, 0, 1, 1),)),
            Shape("a", (make_rectangle(3, 3, 4, 4),)),
        ),
    )
    masks = draw_masks(image, (8, 10))
    np.testing.assert_array_equal(masks["a"], box(1, 1, 5, 5, (8, 10)) | box(3, 3, 7, 7, (8, 10)))
    assert masks["b"].sum() == 1


def test_fractions_of_columns_and_rows():
    np.testing.assert_array_equal(draw(make_rectangle(0.2, 0.25, 0.5, 0.5), relative=True), box(2, 2, 6, 7, (8, 10)))


def test_a_circle_has_its_area():
    assert draw(make_ellipse(50, 50, 40, 40), size=(100, 100)).sum() == pytest.approx(np.pi * 1600, rel=0.005)


def test_an_image_of_another_size():
    image = AnnotatedImage("a.png", (8, 10))
    with pytest.raises(RadiographError, match=r"image a\.png: drawn on 8 x 10 pixels .* but the image has 10 x 8"):
        draw_masks(image, (10, 8))


def test_an_outline_that_would_take_forever():
    zigzag = make_ring([(i % 7, 5000 * (i % 2)) for i in range(4001)])
    with pytest.raises(RadiographError, match=r"image a\.png: label a: .* Draw a simpler outline"):
        draw(zigzag, size=(5000, 8))
