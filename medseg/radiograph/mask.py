"""Masks and label maps: the numbers a file stores, and what they mean."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.channels import Color
from medseg.radiograph.dicom.read import read_stored
from medseg.radiograph.image import Content
from medseg.radiograph.kind import KINDS, identify
from medseg.radiograph.read import READERS, How
from medseg.radiograph.source import open_source


@dataclass(frozen=True, eq=False)
class LabelImage:
    """One mask or label map."""

    values: NDArray[Any]
    """`(rows, columns)`, the levels exactly as stored."""
    spacing_mm: tuple[float, float] | None
    """`(row, column)`, or None where the file does not say."""
    kind: str
    lossy: bool
    warnings: tuple[str, ...] = ()
    """Short sentences on what was lived with."""
    colors: Mapping[int, Color] = field(default_factory=dict)
    """The colors of a palette by label value; empty where the file has none."""


def read_label_image(
    path: str | os.PathLike[str], *, nifti_rows: str | None = None, exif: str | None = None
) -> LabelImage:
    """The mask or label map in one file, with the orientation rules of `read_radiograph`, never inverted or scaled.

    A palette image gives its indices, or its grey levels where a GIF or BMP has no other color; other color is grey
    where the channels agree. A mask that only the alpha channel shows is that channel. Raises `RadiographError`.
    """
    warnings: list[str] = []
    with open_source(path) as file:
        kind = identify(file, path)
        lossy = KINDS[kind].lossy
        if kind == "dicom":
            stored, spacing, lossy = read_stored(file, warnings)
            found = Content(stored, spacing)
        else:
            found = READERS[kind](file, kind, How("refuse", nifti_rows, exif, mask=True), warnings)
        values = found.pixels
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise RadiographError("holds labels that are NaN or infinite")
    return LabelImage(np.ascontiguousarray(values), found.spacing_mm, kind, lossy, tuple(warnings), found.colors)


def binarize(label: LabelImage) -> NDArray[np.bool_]:
    """True for foreground, from the mask of one class whose levels nobody has declared.

    Two levels are background (the lesser) and foreground, whatever they are. One level is all background if it is 0,
    else all foreground. More, as JPEG and soft edges make them, are cut half-way between least and greatest.
    """
    values = label.values
    low, high = values.min(), values.max()
    if low == high:
        return np.full(values.shape, bool(low != 0))
    if ((values == low) | (values == high)).all():
        return np.asarray(values == high)
    return np.asarray(values > (float(low) + float(high)) / 2)
