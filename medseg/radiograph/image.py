"""One radiograph in memory, and what every format must fulfil before it becomes one."""

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
"""A picture that claims more is refused before it is decoded; the largest mammograms have 30 million."""


@dataclass(frozen=True, eq=False)
class Content:
    """What a file of any kind but DICOM holds, be it a radiograph or a mask."""

    pixels: NDArray[Any]
    """`(rows, columns)` as stored, or `(rows, columns, 3)` where RGB was asked for."""
    spacing_mm: tuple[float, float] | None = None
    spacing_source: str = "file"
    """As in `Radiograph`, if there is a spacing."""
    exif_orientation: int | None = None
    """As in `Radiograph`."""
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """The colors of a mask's palette by label value; empty where `pixels` are no indices."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One picture as the network may see it. Carries nothing that tells who the patient is."""

    pixels: NDArray[np.float32]
    """`(rows, columns)`, modality values, bright is dense; `(rows, columns, 3)` only where RGB was asked for."""
    spacing_mm: tuple[float, float] | None
    """`(row, column)`, or None where the file does not say."""
    spacing_source: str
    """`calibrated`, `magnification`, `detector`, `unspecified`, `film`, `file` or `none`."""
    kind: str
    """An entry of `kind.KINDS`."""
    modality: str | None = None
    body_part: str | None = None
    view: str | None = None
    orientation: str | None = None
    r"""PatientOrientation of rows and columns as DICOM writes it, `L\F` for an upright PA chest."""
    lossy: bool = False
    """By LossyImageCompression, the transfer syntax or the file format."""
    warnings: tuple[str, ...] = ()
    """Short sentences on what was lived with; no tag values that could name a person."""
    padding: NDArray[np.bool_] | None = None
    """`(rows, columns)`, true where PixelPaddingValue says that there is no picture."""
    burned_in: bool | None = None
    """BurnedInAnnotation; None is unknown."""
    exif_orientation: int | None = None
    """The EXIF orientation, 2 to 8, that the pixels were turned by; None where they lie as stored."""
    sop_class: str | None = None
    sop_instance_uid: str | None = None


def check_image_size(rows: int, columns: int) -> None:
    """Raise `RadiographError` unless a picture of this size exists and can be held. Call before decoding."""
    if rows < 1 or columns < 1:
        raise RadiographError(f"has {rows} rows and {columns} columns; nothing to segment", "size")
    if rows * columns > MAX_PIXELS:
        raise RadiographError(f"claims {rows} x {columns} pixels, more than the {MAX_PIXELS} that are read", "size")


def check_content(pixels: NDArray[np.float32], padding: NDArray[np.bool_] | None = None) -> None:
    """Raise `RadiographError` where `pixels` hold NaN or infinity, or nothing but one value outside `padding`."""
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
    """SHA-256 over shape, kind of number and values."""
    contiguous = np.ascontiguousarray(pixels)
    digest = hashlib.sha256(f"{contiguous.shape}{contiguous.dtype.str}".encode())
    digest.update(contiguous.data)
    return digest.hexdigest()


def clean_term(value: str | None, keyword: str, warnings: list[str]) -> str | None:
    """A short code such as `CHEST` in capitals, or None, with a warning, for text that may be anything."""
    term = (value or "").strip().upper()
    if not term:
        return None
    if not re.fullmatch(r"[A-Z0-9 _-]{1,16}", term):
        warnings.append(f"{keyword} holds unexpected text and was ignored")
        return None
    return term
