"""How the axes of a NIfTI, MHA or NRRD array lie on the picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.dicom.spacing import is_length

_OBLIQUE = 1e-3


def turn_to_picture(
    array: NDArray[Any], axes: NDArray[np.float64], warnings: list[str]
) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """`(rows, columns)` and `(row, column)` spacing from an array over two axes that lie in the picture's plane.

    `axes` is `(3, 2)`: for each axis of `array` the step in mm to the left (that is, to the right on the picture), to
    the back (down on the picture), and out of the plane, the coordinates of DICOM and ITK. Axes are exchanged and
    flipped, never resampled. Raises `RadiographError` where they leave the plane or fall on each other.
    """
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or (lengths == 0).any():
        raise RadiographError("the orientation is not made of finite numbers other than zero")
    nearest = np.abs(axes).argmax(axis=0)
    if 2 in nearest:
        raise RadiographError("the picture does not lie in the plane of the first two world axes")
    if nearest[0] == nearest[1]:
        raise RadiographError("both axes of the picture point the same way")
    directions = axes / lengths
    leading = directions[nearest, [0, 1]]
    if (np.abs(leading) < 1 - _OBLIQUE).any():
        warnings.append("the orientation is oblique; the nearest axes were taken")
    for axis in (0, 1):
        array = np.flip(array, axis) if leading[axis] < 0 else array
    if nearest[0] == 0:  # (column, row)
        array, lengths = array.swapaxes(0, 1), lengths[::-1]
    row_mm, column_mm = float(lengths[0]), float(lengths[1])
    return array, (row_mm, column_mm) if is_length(row_mm) and is_length(column_mm) else None
