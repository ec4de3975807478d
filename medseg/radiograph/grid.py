"""Position of the stored pixels of an image, read from its header."""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg.errors import RadiographError
from medseg.radiograph.dicom.header import integer, numbers, read_dataset
from medseg.radiograph.image import check_image_size
from medseg.radiograph.itk import read_itk_geometry
from medseg.radiograph.kind import identify
from medseg.radiograph.nifti import read_nifti_geometry
from medseg.radiograph.raw import RAW_SIZE
from medseg.radiograph.source import open_source, refusing


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixel grid of an image as stored in its file."""

    size: tuple[int, int]
    """Columns and rows."""
    directions: NDArray[np.float64]
    """`(3, 3)`: unit steps along columns, rows and slices, one per matrix column, in DICOM and ITK coordinates."""
    axes: NDArray[np.float64]
    """`(3, 2)`: axes by which the reader turns the image; see `turn_to_picture`."""
    origin: NDArray[np.float64] | None = None
    """`(3,)`: center of the first pixel in mm; None if unknown."""
    spacing: NDArray[np.float64] | None = None
    """`(3,)`: mm along columns, rows and slices; None if `origin` is None."""


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read the pixel grid of an image file, as 3D Slicer interprets it.

    PNG, JPEG, TIFF and DICOM images get no origin. They lie along the world axes, or along ImageOrientationPatient if
    the DICOM file has it. Raises `RadiographError`.
    """
    with open_source(path) as file:
        kind = identify(file, path)
        if kind in ("mha", "nrrd"):
            size, origin, steps = read_itk_geometry(file, kind)
            return _placed(size, origin, steps, steps[:, :2])
        if kind == "nifti":
            return _placed(*read_nifti_geometry(file))
        if kind == "dicom":
            dataset = read_dataset(file, ("Rows", "Columns", "ImageOrientationPatient"), pixels=False)
            size = integer(dataset, "Columns") or 0, integer(dataset, "Rows") or 0
            directions = _directions(numbers(dataset, "ImageOrientationPatient"))
        elif kind == "img":
            size, directions = (RAW_SIZE, RAW_SIZE), np.eye(3)
        else:
            with refusing(f"is not a readable {kind.upper()} file", Image.DecompressionBombError):
                size = Image.open(file, formats=[kind.upper()]).size
            directions = np.eye(3)
        check_image_size(size[1], size[0])
        return Grid(size, directions, np.eye(3)[:, :2])


def measure_spacing(origin: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length of each step in mm, `(3,)`. Raises `RadiographError` for an impossible grid."""
    spacing: NDArray[np.float64] = np.linalg.norm(steps, axis=0)
    if not (np.isfinite(steps).all() and np.isfinite(origin).all() and spacing.all()):
        raise RadiographError(
            "the header has a spacing of zero, or a spacing, position or direction that is infinite or not a number"
        )
    return spacing


def _placed(
    size: tuple[int, int], origin: NDArray[np.float64], steps: NDArray[np.float64], axes: NDArray[np.float64]
) -> Grid:
    spacing = measure_spacing(origin, steps)
    return Grid(size, steps / spacing, axes, origin, spacing)


def _directions(cosines: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the unit steps from ImageOrientationPatient, or the default steps if it is missing or invalid."""
    row, column = np.array(cosines or (1, 0, 0, 0, 1, 0)).reshape(2, 3) if len(cosines) in (0, 6) else np.eye(3)[:2]
    directions = np.stack([row, column, np.cross(row, column)], axis=1)
    return directions if np.allclose(directions.T @ directions, np.eye(3), atol=1e-3) else np.eye(3)
