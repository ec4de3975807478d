"""Masks and label maps: the values stored in a file, and their conversion to foreground and background."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.channels import Color, pack_colors
from medseg.radiograph.dicom.read import read_stored
from medseg.radiograph.image import Content
from medseg.radiograph.kind import KINDS, identify
from medseg.radiograph.read import READERS, How
from medseg.radiograph.source import open_source


@dataclass(frozen=True, eq=False)
class LabelImage:
    """One mask or label map."""

    values: NDArray[Any]
    """`(rows, columns)`: levels exactly as stored, or packed colors (see `channels.pack_colors`)."""
    spacing_mm: tuple[float, float] | None
    """Pixel spacing `(row, column)` in mm; None if unknown."""
    kind: str
    lossy: bool
    warnings: tuple[str, ...] = ()
    """Short sentences about problems that did not prevent reading."""
    colors: Mapping[int, Color] = field(default_factory=dict)
    """Label value -> palette color; empty if the file has no palette."""
    is_color: bool = False
    """Whether the values are packed colors."""


def read_label_image(
    path: str | os.PathLike[str], *, nifti_rows: str | None = None, exif: str | None = None, as_colors: bool = False
) -> LabelImage:
    """Read a mask or label map, oriented as by `read_radiograph`, never inverted or scaled.

    A palette image gives its indices; a GIF or BMP with gray colors only gives its gray levels. If only the alpha
    channel shows the mask, it is returned. Other color images with different channels, and with `as_colors` all files,
    give packed colors. Raises `RadiographError`.
    """
    warnings: list[str] = []
    with open_source(path) as file:
        kind = identify(file, path)
        lossy = KINDS[kind].lossy
        if kind == "dicom":
            stored, spacing, lossy = read_stored(file, warnings)
            found = Content(stored, spacing)
        else:
            found = READERS[kind](file, kind, How("refuse", nifti_rows, exif, mask=True, as_colors=as_colors), warnings)
        values = found.pixels
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise RadiographError("contains mask values that are NaN or infinite")
        is_color = as_colors or found.is_color
        if is_color and not found.is_color:
            values = pack_colors(values)
    values = np.ascontiguousarray(values)
    return LabelImage(values, found.spacing_mm, kind, lossy, tuple(warnings), found.colors, is_color)


def binarize(label: LabelImage) -> NDArray[np.bool_]:
    """Return the foreground (True) of the mask of one class with undeclared levels.

    Of two levels, the lesser is background and the greater is foreground; if a palette shows one of them black, that is
    background. A single level is background if it is 0 or black, else foreground. More levels (JPEG, soft edges) are
    cut half-way between the least and the greatest.
    """
    values = label.values
    low, high = values.min(), values.max()
    is_black = label.colors.get(high) == (0, 0, 0)  # programs that reduce colors sort them in any way
    if low == high:
        return np.full(values.shape, bool(low != 0) and not is_black)
    if ((values == low) | (values == high)).all():
        return np.asarray(values == (low if is_black else high))
    return np.asarray(values > (float(low) + float(high)) / 2)
