"""NIfTI files of one image: the array is `(column, row)`, the canonical affine is `diag(-column_mm, -row_mm, 1)`."""

import gzip
import math
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.dcm2niix import find_rows
from medseg.radiograph.image import check_image_size
from medseg.radiograph.orientation import Place, find_place, turn_to_picture
from medseg.radiograph.source import refusing

if TYPE_CHECKING:
    from nibabel import Nifti1Image

_MM_PER_UNIT = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
_MAX_TRAILER = 1 << 24
_MOST_INFLATED = 1032  # largest compression ratio of deflate
_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_NO_ORIENTATION = (
    "the NIfTI header has no orientation; the first stored row was read as the top row. If the image is upside down, "
    "set data.nifti_rows=bottom (for prediction: input.nifti_rows=bottom)"
)


def read_nifti(
    file: BinaryIO, warnings: list[str], *, rows: str | None = None
) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """Read the image `(rows, columns)` and its spacing `(row, column)` in mm from a NIfTI with one slice.

    Values are scaled by scl_slope; without it they keep the stored type. The image is turned from the axes of the
    affine to the canonical axes; an identity affine with unknown units leaves the array as stored. Without orientation
    codes, `rows` is the position of the first stored row, `top` or `bottom`; None means the convention of dcm2niix if
    it wrote the file, else top with a warning. Zooms of exactly 1 are not a spacing if units are unknown, or in a
    dcm2niix file without orientation codes. Raises `RadiographError`.
    """
    source, image = _open(file)
    shape = image.shape
    if len(shape) < 2 or any(size != 1 for size in shape[2:]):
        possible = len(shape) > 2 and math.prod(shape) < _MOST_INFLATED * file.seek(0, os.SEEK_END)
        text = f"has {' x '.join(map(str, shape))} voxels, but one slice (w, h) or (w, h, 1) is needed"
        raise RadiographError(text, "frames" if possible else "damaged")
    check_image_size(shape[1], shape[0])
    if image.get_data_dtype().kind not in "iuf":
        raise RadiographError(
            f"has values of type {image.header.get_value_label('datatype')}, but one real number per pixel is needed"
        )
    with refusing("the NIfTI data are damaged or cut short"):
        data = np.asanyarray(image.dataobj).reshape(shape[:2])
        source.read(_MAX_TRAILER)  # up to the checksum of a compressed file, which gzip then verifies
    with refusing("the NIfTI header is damaged"):
        if _has_orientation(image.header):
            return _oriented(data, image, warnings)
        found = find_rows(image.header, file)
        rows = rows or found
        if rows is None:
            warnings.append(_NO_ORIENTATION)
        picture, spacing = _lying(data[:, ::-1] if rows == "bottom" else data, image.header, warnings)
        return picture, None if found and spacing == (1, 1) else spacing  # dcm2niix writes 1 mm if DICOM has no spacing


def find_nifti_place(file: BinaryIO) -> Place | None:
    """The position of the image that `read_nifti` returns.

    None if the header has no orientation code, or if its affine does not contain the spacing.
    """
    _, image = _open(file)
    is_apart = _lies_as_stored(image) and image.header.get_zooms()[:2] != (1, 1)
    if is_apart or not _has_orientation(image.header):
        return None
    return find_place(*read_nifti_geometry(file), image.header.get_xyzt_units()[0])


def read_nifti_geometry(
    file: BinaryIO,
) -> tuple[tuple[int, int], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Read stored columns and rows, origin and steps (see `itk.Volume`), and the axes by which `read_nifti` turns.

    Raises `RadiographError` if the header has no orientation code: such a file has no position.
    """
    _, image = _open(file)
    if not _has_orientation(image.header):
        raise RadiographError("has no orientation in its NIfTI header, so no segmentation can be placed on it")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image.affine, dtype=np.float64)
    axes = np.eye(3)[:, :2] if _lies_as_stored(image) else affine[:3, :2]
    return (image.shape[0], image.shape[1]), affine[:3, 3], affine[:3, :3], axes


def build_nifti(
    pixels: NDArray[Any], spacing_mm: tuple[float, float] | None, place: Place | None = None
) -> "Nifti1Image":
    """Build a NIfTI image of `pixels` `(rows, columns)` that `read_radiograph` reads back unchanged.

    `spacing_mm` is `(row, column)`; None writes unknown units and zooms of 1. With `place`, that counts instead.
    """
    nibabel: Any = import_module("nibabel")
    stand_in = {"bool": "uint8", "int64": "int32", "float16": "float32"}  # few or no programs read these types
    array = pixels.astype(stand_in.get(pixels.dtype.name, pixels.dtype))
    row_mm, column_mm = spacing_mm or (1.0, 1.0)
    place = place or Place(np.diag([-column_mm, -row_mm, 1.0, 1.0]), "mm" if spacing_mm else "unknown")
    image: Any = nibabel.Nifti1Image(np.ascontiguousarray(array.T), place.affine)
    image.header.set_xyzt_units(place.unit)
    image.set_qform(place.affine, code=1)
    image.set_sform(place.affine, code=1)
    built: Nifti1Image = image
    return built


def _open(file: BinaryIO) -> tuple[BinaryIO, Any]:
    """Return the decompressed stream of a file, and its image, whose values are not read yet."""
    nibabel: Any = import_module("nibabel")
    damage = nibabel.spatialimages.HeaderDataError, nibabel.filebasedimages.ImageFileError
    file.seek(0)
    with refusing("is not a readable NIfTI file", *damage, nibabel.wrapstruct.WrapStructError):
        source = _unzipped(file)
        image = _image_class(source).from_stream(source)
        return source, image


def _unzipped(file: BinaryIO) -> BinaryIO:
    """Return `file`, or a decompressing stream of it; only the bytes that are read get decompressed."""
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file


def _image_class(source: BinaryIO) -> Any:
    nibabel: Any = import_module("nibabel")
    head = source.read(348)
    source.seek(0)
    if head[344:348] == b"ni1\0":
        raise RadiographError("is half of a NIfTI pair (.hdr and .img), but a single file (.nii, .nii.gz) is needed")
    return nibabel.Nifti2Image if head[4:7] == b"n+2" else nibabel.Nifti1Image


def _has_orientation(header: Any) -> bool:
    return int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0


def _lying(data: NDArray[Any], header: Any, warnings: list[str]) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """Return the array `(column, row)` in its stored orientation as `(rows, columns)`, and the spacing."""
    column_mm, row_mm = (float(zoom) for zoom in header.get_zooms()[:2])
    return data.T, _spacing_mm((row_mm, column_mm), header.get_xyzt_units()[0], warnings)


def _oriented(data: NDArray[Any], image: Any, warnings: list[str]) -> tuple[NDArray[Any], tuple[float, float] | None]:
    if _lies_as_stored(image):
        return _lying(data, image.header, warnings)
    unit = image.header.get_xyzt_units()[0]
    matrix = np.asarray(image.affine, dtype=np.float64)[:3, :3]
    picture, spacing = turn_to_picture(data, (_TO_LPS @ matrix)[:, :2], warnings)
    return picture, _spacing_mm(spacing, unit, warnings)


def _lies_as_stored(image: Any) -> bool:
    """Return whether the affine is unset: the identity with unknown units."""
    return image.header.get_xyzt_units()[0] == "unknown" and np.array_equal(image.affine[:3, :3], np.eye(3))


def _spacing_mm(spacing: tuple[float, float] | None, unit: str, warnings: list[str]) -> tuple[float, float] | None:
    """Return the spacing in mm, or None for zooms of exactly 1 with unknown units, which are unset defaults."""
    if unit == "unknown" and spacing == (1, 1):
        return None
    scaled = tuple(value * _MM_PER_UNIT.get(unit, math.nan) for value in spacing or (math.nan, math.nan))
    if not all(math.isfinite(value) and value > 0 for value in scaled):
        warnings.append("the NIfTI header has no usable spacing")
        return None
    return scaled[0], scaled[1]
