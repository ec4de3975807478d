"""Conversion of stored values to gray values: modality, VOI and polarity steps, in the order of PS3.3 C.11."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.errors import RadiographError
from medseg.radiograph.dicom.header import items, numbers, text, values

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gray:
    """Gray values, with the least and greatest value that the previous step can produce for any image."""

    values: Values
    low: float
    high: float

    def inverted(self) -> "Gray":
        """Exchange dark and bright: `low + high - x`."""
        return replace(self, values=self.low + self.high - self.values)


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A Modality or VOI LUT (PS3.3 C.11.1.1.1, C.11.2.1.1)."""

    first: int
    """Input value of the first entry. Smaller inputs get the first entry, inputs beyond the table the last."""
    entries: NDArray[np.uint16]
    bits: int

    def apply(self, values: NDArray[Any]) -> Values:
        """Look up `values`, rounded to the nearest input."""
        last = len(self.entries) - 1
        index = np.clip(np.rint(values.astype(np.float64)) - self.first, 0, last).astype(np.intp)
        return np.asarray(self.entries[index], dtype=np.float64)


def apply_modality(
    stored: NDArray[np.integer[Any]], limits: tuple[int, int], dataset: Dataset, warnings: list[str]
) -> Gray:
    """Apply the first ModalityLUTSequence table, else rescale slope and intercept (PS3.3 C.11.1), to stored values.

    `limits` are the least and greatest stored value of the pixel format. Raises `RadiographError` for a slope of zero,
    a slope or intercept that is not a number, and a table that cannot be read.
    """
    tables = _table_items(dataset, "ModalityLUTSequence", warnings)
    slope, intercept = _rescale(dataset, warnings)
    if not tables:
        values = stored.astype(np.float64) * slope + intercept
        ends = (limits[0] * slope + intercept, limits[1] * slope + intercept)
        return Gray(values, min(ends), max(ends))
    if (slope, intercept) != (1, 0):
        warnings.append("the file has both a modality LUT and a rescale slope; the LUT was used")
    table = _read_table(tables[0], "ModalityLUTSequence", signed=limits[0] < 0)
    first, last = np.clip(np.subtract(limits, table.first), 0, len(table.entries) - 1)
    reachable = table.entries[first : last + 1]
    return Gray(table.apply(stored), float(reachable.min()), float(reachable.max()))


def apply_voi(gray: Gray, dataset: Dataset, warnings: list[str]) -> Gray:
    """Apply the first VOI LUT, else the first window (PS3.3 C.11.2).

    A window is spread over `low` to `high` of the modality values; a table gives its entries. If both are missing or
    unusable, the modality values are returned with a warning.
    """
    try:
        tables = _table_items(dataset, "VOILUTSequence", warnings)
        if tables:
            table = _read_table(tables[0], "VOILUTSequence", signed=gray.low < 0)
            return Gray(table.apply(gray.values), 0.0, float((1 << table.bits) - 1))
        centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
        if not centers and not widths:
            raise RadiographError("the file has no VOI LUT and no window")
        function = (text(dataset, "VOILUTFunction") or "LINEAR").upper()
        return replace(gray, values=_window(gray, *centers[:1], *widths[:1], function=function))
    except RadiographError as error:
        warnings.append(f"{error}; the modality values were used instead")
        return gray


def is_inverse(photometric: str, dataset: Dataset, warnings: list[str]) -> bool:
    """Return whether the least value is white. Only MONOCHROME1 decides (PS3.3 C.7.6.3.1.2).

    PresentationLUTShape only repeats the polarity (C.11.6); a contradiction gives a warning.
    """
    inverse = photometric == "MONOCHROME1"
    shape = (text(dataset, "PresentationLUTShape") or "").upper()
    if shape in ("INVERSE", "IDENTITY") and (shape == "INVERSE") != inverse:
        warnings.append(f"PresentationLUTShape {shape} contradicts {photometric}; {photometric} was used")
    return inverse


def _rescale(dataset: Dataset, warnings: list[str]) -> tuple[float, float]:
    slopes, intercepts = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    if bool(slopes) != bool(intercepts):
        warnings.append("RescaleSlope or RescaleIntercept is missing; slope 1 or intercept 0 was used")
    slope, intercept = slopes or (1.0,), intercepts or (0.0,)
    if len(slope) > 1 or not math.isfinite(slope[0]) or slope[0] == 0:
        raise RadiographError("RescaleSlope must be a single finite number and must not be zero")
    if len(intercept) > 1 or not math.isfinite(intercept[0]):
        raise RadiographError("RescaleIntercept must be a single finite number")
    return slope[0], intercept[0]


def _table_items(dataset: Dataset, keyword: str, warnings: list[str]) -> list[Dataset]:
    """Return the items of a LUT sequence that contain a table; some software writes items with empty attributes."""
    found = items(dataset, keyword)
    filled = [item for item in found if any(numbers(item, "LUTDescriptor")) or values(item, "LUTData")]
    if len(filled) < len(found):
        warnings.append(f"an empty item of {keyword} was ignored")
    return filled


def _read_table(item: Dataset, keyword: str, signed: bool) -> LookupTable:
    """Read the table of a LUT item. LUTDescriptor: number of entries (0 is 65536), first input, bits per entry."""
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3 or not all(map(float.is_integer, descriptor)):
        raise RadiographError(f"{keyword} has no usable LUTDescriptor")
    count, first, bits = (int(value) for value in descriptor)
    count = count % 65536 or 65536
    if signed and first > 32767:  # a signed value that was written as unsigned
        first -= 65536
    entries = _table_entries(item, count)
    if entries is None or not 1 <= bits <= 16:
        raise RadiographError(
            f"{keyword}: LUTDescriptor announces {count} entries of {bits} bits, but LUTData does not contain them"
        )
    return LookupTable(first, entries, max(bits, int(entries.max()).bit_length()))


def _table_entries(item: Dataset, count: int) -> NDArray[np.uint16] | None:
    """Return LUTData as numbers, from words or bytes, or None if there are fewer than `count`."""
    raw = values(item, "LUTData")
    if raw and isinstance(raw[0], bytes):
        order = ">" if item.original_encoding[1] is False else "<"
        cell = "u1" if len(raw[0]) < 2 * count else f"{order}u2"
        data = np.frombuffer(raw[0], cell, count=len(raw[0]) // np.dtype(cell).itemsize).astype(np.uint16)
    else:
        entries = numbers(item, "LUTData")
        if not all(0 <= entry <= 65535 for entry in entries):
            return None
        data = np.array(entries, dtype=np.uint16)
    return data[:count] if len(data) >= count else None


def _window(gray: Gray, center: float = math.nan, width: float = math.nan, *, function: str) -> Values:
    """Apply a window of `center` and `width`, spread over `low` to `high` (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    least_width = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}.get(function)
    if least_width is None:
        raise RadiographError("VOILUTFunction is not LINEAR, LINEAR_EXACT or SIGMOID")
    if not math.isfinite(center) or not math.isfinite(width):
        raise RadiographError("WindowCenter or WindowWidth is missing or not a number")
    if width < least_width or width == 0:
        raise RadiographError(f"WindowWidth {width:g} is too small for {function}")
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            part = 1 / (1 + np.exp(-4 * (gray.values - center) / width))
    elif function == "LINEAR_EXACT":
        part = (gray.values - center) / width + 0.5
    elif width == 1:
        part = (gray.values > center - 0.5).astype(np.float64)
    else:
        part = (gray.values - (center - 0.5)) / (width - 1) + 0.5
    return np.clip(part, 0, 1) * (gray.high - gray.low) + gray.low
