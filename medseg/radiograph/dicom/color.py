"""Red, green and blue channels of DICOM color images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.errors import RadiographError
from medseg.radiograph.dicom.decode import decode_color, decode_stored
from medseg.radiograph.dicom.header import PixelFormat, numbers, values

_TRUE_COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"
_SEGMENTED = "SegmentedRedPaletteColorLookupTableData"
_CHANNELS = ("Red", "Green", "Blue")
PALETTE_KEYWORDS = (
    *(f"{color}PaletteColorLookupTable{part}" for color in _CHANNELS for part in ("Descriptor", "Data")),
    _SEGMENTED,
)


def is_color(form: PixelFormat) -> bool:
    """Return whether the tags describe a color image."""
    return form.samples != 1 or form.photometric in (_PALETTE, *_TRUE_COLOR)


def read_color(dataset: Dataset, form: PixelFormat, warnings: list[str]) -> NDArray[Any]:
    """Read `(rows, columns, 3)` of an image in RGB, YBR or PALETTE COLOR. Raises `RadiographError`."""
    if form.samples == 1 and form.photometric == _PALETTE:
        return _look_up(dataset, form, decode_stored(dataset, form, warnings))
    if form.samples != 3 or form.photometric not in _TRUE_COLOR:
        raise RadiographError(
            f"is a color image of an unsupported kind (SamplesPerPixel {form.samples}), but grayscale is needed",
            "color",
        )
    return decode_color(dataset, form, warnings)


def _look_up(dataset: Dataset, form: PixelFormat, indices: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Apply the palette to indices; indices outside the palette get its first or last entry (PS3.3 C.7.6.3.1.5)."""
    if _SEGMENTED in dataset:  # a few bytes of it may expand to gigabytes
        raise RadiographError("is a color image with a segmented palette, which is not supported", "color")
    tables = [_read_table(dataset, form, color) for color in _CHANNELS]
    places = ((indices.astype(np.int64) - first).clip(0, len(entries) - 1) for first, entries in tables)
    return np.stack([entries[place] for place, (_, entries) in zip(places, tables, strict=True)], axis=2)


def _read_table(dataset: Dataset, form: PixelFormat, color: str) -> tuple[int, NDArray[Any]]:
    """Return the index of the first entry and all entries of one color."""
    descriptor = numbers(dataset, f"{color}PaletteColorLookupTableDescriptor")
    data = values(dataset, f"{color}PaletteColorLookupTableData")
    if len(descriptor) == 3 and all(map(float.is_integer, descriptor)) and data and isinstance(data[0], bytes):
        count = int(descriptor[0]) % 65536 or 65536  # 0 stands for 65536
        order = "<" if form.transfer_syntax.is_little_endian else ">"
        cell = "u1" if len(data[0]) < 2 * count else f"{order}u2"
        if len(data[0]) >= count:
            return int(descriptor[1]), np.frombuffer(data[0], cell, count).astype(cell[-2:])
    raise RadiographError(
        f"has PALETTE COLOR, but {color}PaletteColorLookupTable is missing or unusable",
        "color",
    )
