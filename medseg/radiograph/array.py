"""An image that is an array already -> Radiograph."""

import math

import numpy as np
from numpy.typing import ArrayLike

from medseg.errors import RadiographError
from medseg.radiograph.image import Radiograph, check_content, check_image_size

NAME = "array"
"""The kind of such a radiograph, and what messages call it."""


def build_radiograph(array: ArrayLike, spacing_mm: tuple[float, float] | None = None) -> Radiograph:
    """The radiograph of an array `(rows, columns)` or `(rows, columns, 3)` of modality values; bright is dense.

    `spacing_mm` is the size of a pixel, `(row, column)`, in millimeters. The plane of that spacing is not known, so its
    source is `unspecified`. Raises `RadiographError` for another shape, for values that are no finite real numbers or
    all equal, and for a spacing that is not positive.
    """
    given = np.asarray(array)
    try:
        if given.dtype.kind not in "buif":
            raise RadiographError(f"has values of type {given.dtype}; real numbers are needed")
        if given.ndim not in (2, 3) or (given.ndim == 3 and given.shape[2] != 3):
            shape = " x ".join(map(str, given.shape))
            raise RadiographError(f"has shape {shape}; (rows, columns) or (rows, columns, 3) is needed", "size")
        check_image_size(*given.shape[:2])
        with np.errstate(over="ignore"):
            pixels = np.array(given, dtype=np.float32, order="C")  # a copy, that no later change reaches
        check_content(pixels)
        spacing = None if spacing_mm is None else check_spacing(spacing_mm)
    except RadiographError as error:
        raise RadiographError(error.reason, error.code, NAME) from None
    return Radiograph(pixels, spacing, "none" if spacing is None else "unspecified", NAME)


def check_spacing(spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """The spacing `(row, column)` as two floats. Raises `RadiographError` unless both are positive and finite."""
    try:
        row, column = map(float, spacing_mm)
    except (TypeError, ValueError):
        raise RadiographError(f"spacing_mm is {spacing_mm!r}; (row, column) in millimeters is needed") from None
    if not all(math.isfinite(side) and side > 0 for side in (row, column)):
        raise RadiographError(f"spacing_mm is {spacing_mm!r}; both values must be positive and finite")
    return row, column
