import numpy as np
import pytest
from scipy import ndimage

from medseg.annotations import Shape, outline
from medseg.annotations.outline import join_rings
from medseg.annotations.raster import draw_shape
from tests.support.annotation_files import MASK, box

RANDOM = np.random.default_rng(7)
BLOBS = [
    ndimage.gaussian_filter(RANDOM.standard_normal((60, 70)), sigma) > level * 0.3 / sigma
    for sigma in (0.3, 1, 2, 5)
    for level in (-0.5, 0.3)
]


def redraw(shapes, size):
    mask = np.zeros(size, bool)
    for shape in shapes:
        draw_shape(mask, shape)
    return mask


@pytest.mark.parametrize("mask", [MASK, *BLOBS, np.ones((3, 4), bool), box(2, 2, 3, 3, (5, 5))])
def test_outlines_draw_the_same_mask(mask):
    shapes = outline("a", mask)
    np.testing.assert_array_equal(redraw(shapes, mask.shape), mask)
    joined = [Shape("a", (join_rings(shape.rings),)) for shape in shapes]
    np.testing.assert_array_equal(redraw(joined, mask.shape), mask)


def test_nothing_has_no_outline():
    assert outline("a", np.zeros((4, 4), bool)) == ()


def test_parts_and_holes():
    shapes = outline("a", box(1, 1, 9, 9, (20, 20)) & ~box(3, 3, 5, 5, (20, 20)) | box(12, 12, 15, 15, (20, 20)))
    assert sorted(len(shape.rings) for shape in shapes) == [1, 2]


def test_few_corners():
    (square,) = outline("a", box(5, 5, 45, 65, (60, 70)))
    assert len(square.rings[0]) <= 8
    row, column = np.mgrid[:200, :200]
    (disk,) = outline("a", np.hypot(row - 99.5, column - 99.5) < 80)
    assert len(disk.rings[0]) < 90  # of 641 on the contour


def test_outlines_lie_on_the_contour():
    for shape in outline("a", BLOBS[4]):
        for ring in shape.rings:
            assert (2 * ring % 1 == 0).all()
            assert ((ring % 1 == 0).sum(axis=1) == 1).all()  # midway between two centers of a row or a column
