"""Extraction of stored values from pixel cells (PS3.5 8.1.1): shift, mask or clip to BitsStored, extend the sign."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.radiograph.dicom.header import PixelFormat, numbers, text

Values = NDArray[np.integer[Any]]

_OVERLAYS = [(f"{group:04X}0102", f"{group:04X}3000") for group in range(0x6000, 0x6100, 2)]
OVERLAY_TAGS = tuple(tag for tags in _OVERLAYS for tag in tags)
"""OverlayBitPosition and OverlayData of every overlay plane (PS3.3 C.9.2)."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Pixel cells `(rows, columns)` from a file or a decoder."""

    values: Values
    precision: int
    """Number of usable bits of a cell."""
    signed: bool = False
    """Whether the decoder has extended the sign; if not, PixelRepresentation defines the meaning of the bits."""
    lossy: bool = False


def extract_stored(cells: Cells, form: PixelFormat, dataset: Dataset, warnings: list[str]) -> Values:
    """Return the stored values of `cells`, in the range that BitsStored and PixelRepresentation allow.

    Bits above BitsStored are removed, since they may contain an overlay. After lossy compression, values outside the
    range are ringing and are clipped.
    """
    shift = form.high_bit + 1 - form.stored if cells.precision > form.stored else 0
    values = cells.values.astype("int64" if form.allocated > 16 else "int32") if form.signed else cells.values
    values, width = values >> shift if shift else values, cells.precision - shift
    if width > form.stored and (cells.lossy or _was_lossy(dataset, form)):
        return _clip(values, width, cells.signed, form, warnings)
    if form.stored < 8 * values.itemsize:
        mask = (1 << form.stored) - 1
        if not form.signed and values.max() > mask:
            warnings.append("bits above BitsStored were set; they were removed")
        values = values & mask
    return _extend(values, form.stored) if form.signed else values


def has_embedded_overlay(dataset: Dataset, form: PixelFormat) -> bool:
    """Return whether an overlay uses bits of the pixel cells above HighBit."""
    embedded = (numbers(dataset, position) for position, data in _OVERLAYS if data not in dataset)
    return any(found and found[0] > form.high_bit for found in embedded)


def _clip(values: Values, width: int, extended: bool, form: PixelFormat, warnings: list[str]) -> Values:
    """Clip values of `width` bits. The highest bit is the sign, unless all bits above BitsStored are 0."""
    if form.signed:
        values = values & ((1 << width) - 1)
        values = _extend(values, width if extended or values.max() >> form.stored else form.stored)
    least, greatest = form.stored_range
    if least <= values.min() and values.max() <= greatest:
        return values
    warnings.append("values outside the range of BitsStored, an effect of lossy compression, were clipped")
    return values.clip(least, greatest)


def _extend(values: Values, bits: int) -> Values:
    return values - ((values >> (bits - 1)) << bits)


def _was_lossy(dataset: Dataset, form: PixelFormat) -> bool:
    """Return whether the image was compressed with loss before, and no overlay uses the bits above BitsStored."""
    return text(dataset, "LossyImageCompression") == "01" and not has_embedded_overlay(dataset, form)
