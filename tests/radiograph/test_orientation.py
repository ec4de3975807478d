import numpy as np
import pytest

from medseg.errors import RadiographError
from medseg.radiograph.orientation import turn_to_picture

PICTURE = np.arange(6).reshape(2, 3)  # two rows, three columns
SPACING = (0.5, 0.25)
# the array and, for its two axes, the steps in mm (to the right, down, out of the plane)
LAID = [
    (PICTURE.T, [[0.25, 0, 0], [0, 0.5, 0]]),
    (PICTURE, [[0, 0.5, 0], [0.25, 0, 0]]),
    (PICTURE.T[::-1], [[-0.25, 0, 0], [0, 0.5, 0]]),
    (PICTURE.T[:, ::-1], [[0.25, 0, 0], [0, -0.5, 0]]),
    (PICTURE[::-1, ::-1], [[0, -0.5, 0], [-0.25, 0, 0]]),
]


@pytest.mark.parametrize(("array", "steps"), LAID)
def test_array_is_turned_to_the_picture(array, steps):
    warnings = []
    picture, spacing = turn_to_picture(array, np.array(steps).T, warnings)
    np.testing.assert_array_equal(picture, PICTURE)
    assert spacing == SPACING
    assert warnings == []


def test_oblique_axes_take_the_nearest_with_a_warning():
    warnings = []
    angle = np.deg2rad(10)
    steps = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0]])
    picture, spacing = turn_to_picture(PICTURE.T, steps.T, warnings)
    np.testing.assert_array_equal(picture, PICTURE)
    assert spacing == pytest.approx((1, 1))
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([[1, 0, 0], [0, 0, 1]], "plane"),
        ([[1, 0, 0], [1, 0, 0]], "same direction"),
        ([[1, 0, 0], [0, 0, 0]], "zero axis"),
        ([[1, 0, 0], [np.nan, 1, 0]], "finite"),
    ],
)
def test_impossible_axes_are_refused(steps, reason):
    with pytest.raises(RadiographError, match=reason):
        turn_to_picture(PICTURE.T, np.array(steps, dtype=float).T, [])
