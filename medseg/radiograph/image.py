"""A radiograph in memory, and the checks that images of all formats must pass."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError

MAX_PIXELS = 100_000_000
"""Larger images are rejected before decoding; the largest mammograms have 30 million pixels."""


@dataclass(frozen=True, eq=False)
class Content:
    """Content of a radiograph or mask file that is not DICOM."""

    pixels: NDArray[Any]
    """`(rows, columns)` as stored, or `(rows, columns, 3)` for RGB."""
    spacing_mm: tuple[float, float] | None = None
    spacing_source: str = "file"
    """See `Radiograph`; has no meaning without a spacing."""
    exif_orientation: int | None = None
    """See `Radiograph`."""
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """Label value -> palette color of a mask; empty if `pixels` are not palette indices."""
    lossy: bool = False
    """Whether the image was compressed with loss, if the format does not say so."""
    is_color: bool = False
    """Whether the pixels of a mask are packed colors; see `channels.pack_colors`."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One image with its metadata. Contains nothing that identifies the patient."""

    pixels: NDArray[np.float32]
    """`(rows, columns)`, modality values, bright is dense; `(rows, columns, 3)` for RGB."""
    spacing_mm: tuple[float, float] | None
    """Pixel spacing `(row, column)` in mm; None if unknown."""
    spacing_source: str
    """`calibrated`, `magnification`, `detector`, `unspecified`, `film`, `file` or `none`."""
    kind: str
    """File format; a key of `kind.KINDS`."""
    modality: str | None = None
    body_part: str | None = None
    view: str | None = None
    orientation: str | None = None
    r"""DICOM PatientOrientation of rows and columns, `L\F` for an upright PA chest."""
    lossy: bool = False
    """Whether the image was compressed with loss, by LossyImageCompression, transfer syntax or file format."""
    warnings: tuple[str, ...] = ()
    """Short sentences about problems that did not prevent reading; no tag values that could name a person."""
    padding: NDArray[np.bool_] | None = None
    """`(rows, columns)`, true for padding pixels (PixelPaddingValue)."""
    burned_in: bool | None = None
    """BurnedInAnnotation; None if unknown."""
    exif_orientation: int | None = None
    """EXIF orientation, 2 to 8, by which the pixels were turned; None if they lie as stored."""
    sop_class: str | None = None
    sop_instance_uid: str | None = None
    reduction: int = 1
    """n above 1: the image was decoded at a lower resolution, and `pixels` are each n-th row and column of it, from the
    first one on. The spacing is that of the image."""
    full_size: tuple[int, int] | None = None
    """Rows and columns of the image; None if they are those of `pixels`."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.full_size or (self.pixels.shape[0], self.pixels.shape[1])


def check_image_size(rows: int, columns: int) -> None:
    """Raise `RadiographError` if the image is empty or too large. Call this before decoding."""
    if rows < 1 or columns < 1:
        raise RadiographError(f"has {rows} rows and {columns} columns; nothing to segment", "size")
    if rows * columns > MAX_PIXELS:
        raise RadiographError(f"claims {rows} x {columns} pixels; the limit is {MAX_PIXELS} pixels", "size")


def check_content(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None = None) -> None:
    """Raise `RadiographError` if `pixels` contain NaN or infinity, or have only one value outside `padding`."""
    low, high = float(pixels.min()), float(pixels.max())
    if not math.isfinite(low) or not math.isfinite(high):
        raise RadiographError(f"{int((~np.isfinite(pixels)).sum())} pixels are NaN or infinite", "content")
    if padding is not None:
        picture = pixels[~padding]
        if picture.size == 0:
            raise RadiographError("every pixel is padding; nothing to segment", "content")
        low, high = float(picture.min()), float(picture.max())
    if low == high:
        raise RadiographError(f"every pixel is {low:g}; nothing to segment", "content")


def digest_pixels(pixels: NDArray[Any]) -> str:
    """Return the SHA-256 of shape, number type and values."""
    contiguous = np.ascontiguousarray(pixels)
    digest = hashlib.sha256(f"{contiguous.shape}{contiguous.dtype.str}".encode())
    digest.update(contiguous.data)
    return digest.hexdigest()


def clean_term(value: str | None, keyword: str, warnings: list[str]) -> str | None:
    """Return a short code such as `CHEST` in capitals; other text gives None and a warning."""
    term = (value or "").strip().upper()
    if not term:
        return None
    if not re.fullmatch(r"[A-Z0-9 _-]{1,16}", term):
        warnings.append(f"{keyword} was ignored, because its value is not a valid code")
        return None
    return term
