"""Orientation of NIfTI, MHA and NRRD arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.dicom.spacing import is_length

_OBLIQUE = 1e-3


def turn_to_picture(
    array: NDArray[Any], axes: NDArray[np.float64], warnings: list[str]
) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """Turn an array with two in-plane axes to `(rows, columns)`; also return the spacing `(row, column)`.

    `axes` is `(3, 2)`: for each axis of `array` the step in mm to the patient's left (right on the image), to the back
    (down on the image), and out of the plane, in DICOM and ITK coordinates. Axes are exchanged and flipped, never
    resampled. Raises `RadiographError` if the axes leave the plane or coincide.
    """
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or (lengths == 0).any():
        raise RadiographError("the orientation has a zero axis or a number that is not finite")
    nearest, is_backward = _find_turn(axes)
    if 2 in nearest:
        raise RadiographError("the image does not lie in the plane of the first two world axes")
    if nearest[0] == nearest[1]:
        raise RadiographError("both axes of the image have the same direction")
    if (np.abs(axes).max(axis=0) / lengths < 1 - _OBLIQUE).any():
        warnings.append("the orientation is oblique; the nearest axes were used")
    array = np.flip(array, tuple(np.flatnonzero(is_backward).tolist()))
    if nearest[0] == 0:  # (column, row)
        array, lengths = array.swapaxes(0, 1), lengths[::-1]
    row_mm, column_mm = float(lengths[0]), float(lengths[1])
    return array, (row_mm, column_mm) if is_length(row_mm) and is_length(column_mm) else None


def _find_turn(axes: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """For both axes of an array: the world axis that is nearest, and whether the array runs against it."""
    nearest = np.abs(axes).argmax(axis=0)
    return nearest, axes[nearest, [0, 1]] < 0


@dataclass(frozen=True, eq=False)
class Place:
    """The position of an image, as it is read and shown, in the coordinate system of its file."""

    affine: NDArray[np.float64]
    """The matrix `(4, 4)` from (column, row, slice) of the shown image to NIfTI coordinates."""
    unit: str = "mm"
    """Unit of these coordinates, by its name in NIfTI."""


def find_place(
    size: tuple[int, int],
    origin: NDArray[np.float64],
    steps: NDArray[np.float64],
    axes: NDArray[np.float64],
    unit: str = "mm",
) -> Place | None:
    """The position of the image that `turn_to_picture` makes of a stored array; None if a NIfTI header cannot hold it.

    `size`, `origin` and `steps` are those of the array, in DICOM and ITK coordinates; see `itk.Volume`.
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps, origin
    nearest, is_backward = _find_turn(axes)
    for axis in np.flatnonzero(is_backward):
        affine[:, 3] += affine[:, axis] * (size[axis] - 1)
        affine[:, axis] *= -1
    if nearest[0] != 0:
        affine[:, [0, 1]] = affine[:, [1, 0]]
    can_be_written = np.abs(affine).max() <= np.finfo(np.float32).max and affine.any(axis=0).all()
    return Place(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, unit) if can_be_written else None
