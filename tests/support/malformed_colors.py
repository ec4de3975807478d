"""DICOM color images, gray and not, with palettes that lie (see `malformed_folder`)."""

import struct
from collections.abc import Iterator

import numpy as np
from pydicom import uid

from tests.support.dicom_bytes import BITS8, EIGHT, Changes, Field, framed, jpeg, picture, us

Case = tuple[str, bytes, str]

PALETTE: dict[str, Field] = {
    **{
        f"{color}PaletteColorLookupTable{part}": ("US" if part == "Descriptor" else "OW", data)
        for color in ("Red", "Green", "Blue")
        for part, data in (("Descriptor", struct.pack("<3H", 256, 0, 8)), ("Data", bytes(range(256))))
    },
    "SegmentedRedPaletteColorLookupTableData": None,
}
"""A palette of grays."""
_RGB: Changes = {**BITS8, "SamplesPerPixel": us(3), "PhotometricInterpretation": b"RGB"}
_INDEXED: Changes = {**BITS8, "PhotometricInterpretation": b"PALETTE COLOR", "PixelData": EIGHT.tobytes()}


def colors() -> Iterator[Case]:
    """Red, green and blue that agree, that do not, and that are not there."""
    gray = np.repeat(EIGHT[..., None], 3, axis=2)
    yield "gray.dcm", picture({**_RGB, "PixelData": gray.tobytes()}), "close"
    yield "planes.dcm", picture({**_RGB, "PlanarConfiguration": us(1), "PixelData": EIGHT.tobytes() * 3}), "close"
    mixed = np.stack([EIGHT, EIGHT[::-1], EIGHT], axis=2)
    yield "color.dcm", picture({**_RGB, "PixelData": mixed.tobytes()}), "skipped"
    yield "short.dcm", picture({**_RGB, "PixelData": EIGHT.tobytes()}), "rejected"
    ybr: Changes = {**_RGB, "PhotometricInterpretation": b"YBR_FULL_422"}
    yield "jpeg.dcm", framed(uid.JPEGBaseline8Bit, jpeg(mode="RGB"), ybr), "close"
    yield "jpeg-of-one.dcm", framed(uid.JPEGBaseline8Bit, jpeg(), ybr), "rejected"
    yield "four.dcm", picture({**_RGB, "SamplesPerPixel": us(4), "PixelData": EIGHT.tobytes() * 4}), "skipped"
    for rows, columns in ((65535, 65535), (9999, 10000)):
        size: Changes = {"Rows": us(rows), "Columns": us(columns)}
        yield f"size-{rows}.dcm", framed(uid.JPEGBaseline8Bit, jpeg(mode="RGB"), {**ybr, **size}), "rejected"


def palettes() -> Iterator[Case]:
    """Palettes that are missing, short or of impossible numbers."""
    yield "good.dcm", picture({**_INDEXED, **PALETTE}), "close"
    yield "none.dcm", picture(_INDEXED), "skipped"
    for key in PALETTE:
        if PALETTE[key] is not None:
            yield f"{key}-none.dcm", picture({**_INDEXED, **PALETTE, key: None}), "skipped"
            yield f"{key}-short.dcm", picture({**_INDEXED, **PALETTE, key: ("US", us(1))}), "skipped"
    for lie in ((0, 0, 8), (0, 0, 16), (65535, 0, 8), (1, 0, 8), (256, 65535, 8), (256, 0, 0), (256, 0, 65535)):
        descriptor = {key: ("US", struct.pack("<3H", *lie)) for key in PALETTE if key.endswith("Descriptor")}
        name = "-".join(map(str, lie))
        yield f"{name}.dcm", picture({**_INDEXED, **PALETTE, **descriptor}), "close|other|rejected|skipped"
    segmented: Changes = {"SegmentedRedPaletteColorLookupTableData": ("OW", struct.pack("<3H", 1, 65535, 255) * 9999)}
    yield "segmented.dcm", picture({**_INDEXED, **PALETTE, **segmented}), "skipped"


FAMILIES = (colors, palettes)
