import math

import numpy as np
import pytest

from medseg.annotations.geometry import make_ellipse, make_ellipse_of_axes, make_rectangle, make_ring, measure_area
from medseg.errors import RadiographError


def test_a_closed_ring_loses_its_last_corner():
    assert make_ring([(0, 0), (4, 0), (0, 3), (0, 0)]).tolist() == [[0, 0], [4, 0], [0, 3]]
    assert measure_area(make_ring([(0, 0), (4, 0), (0, 3)])) == 6


def test_a_bow_tie_without_net_area_still_covers_pixels():
    assert len(make_ring([(0, 0), (4, 4), (4, 0), (0, 4)])) == 4


@pytest.mark.parametrize(
    ("points", "reason", "code"),
    [
        ([(0, 0), (1, 1)], "has 2 different points", "no_area"),
        ([(0, 0), (1, 1), (0, 0)], "has 2 different points", "no_area"),
        ([(0, 0), (1, 1), (3, 3)], "on one line", "no_area"),
        ([(0, 0), (math.nan, 1), (3, 3)], "not a number", "damaged"),
        ([(0, 0), (1, 9e9), (3, 3)], "absurdly large", "damaged"),
        ([(0, 0, 0), (1, 1, 1)], "needs points of x and y", "damaged"),
        ([], "needs points of x and y", "damaged"),
    ],
)
def test_rings_that_are_refused(points, reason, code):
    with pytest.raises(RadiographError, match=reason) as caught:
        make_ring(points)
    assert caught.value.code == code


def test_a_rectangle_turns_clockwise():
    around_center = make_rectangle(0, 0, 4, 2, 90)
    np.testing.assert_allclose(around_center, [(3, -1), (3, 3), (1, 3), (1, -1)], atol=1e-12)
    around_corner = make_rectangle(0, 0, 4, 2, 90, (0, 0))
    np.testing.assert_allclose(around_corner, [(0, 0), (0, 4), (-2, 4), (-2, 0)], atol=1e-12)


def test_an_ellipse_turns_clockwise_and_has_its_area():
    ring = make_ellipse(10, 20, 8, 3, 30)
    far = ring[np.hypot(*(ring - (10, 20)).T).argmax()]
    np.testing.assert_allclose(np.abs(far - (10, 20)), (8 * math.cos(math.pi / 6), 8 * math.sin(math.pi / 6)))
    assert (far - (10, 20)).prod() > 0  # y grows downwards
    assert measure_area(ring) == pytest.approx(math.pi * 24, rel=0.01)


def test_dicom_gives_the_ends_of_the_axes():
    by_axes = make_ellipse_of_axes([(2, 20), (18, 20), (10, 17), (10, 23)])
    np.testing.assert_allclose(by_axes, make_ellipse(10, 20, 8, 3), atol=1e-9)


def test_a_radius_may_be_damaged():
    with pytest.raises(RadiographError, match="radius"):
        make_ellipse(0, 0, math.inf, 1)
    with pytest.raises(RadiographError, match="on one line"):
        make_ellipse(0, 0, 3, 0)
