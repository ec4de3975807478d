"""EXIF orientation of PNG, JPEG and TIFF images: how stored pixels are turned for display."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.radiograph.source import BROKEN_BYTES, refusing

if TYPE_CHECKING:
    from PIL.Image import Image

_TAG = 0x0112
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda array: np.rot90(array, 2),
    4: np.flipud,
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: np.rot90(array, 2).swapaxes(0, 1),
    8: lambda array: np.rot90(array, 1),
}
"""Orientation -> turn from stored to displayed pixels (EXIF 2.32, table 6)."""
_OPPOSITE = {6: 8, 8: 6}


def read_exif_orientation(picture: "Image") -> int | None:
    """Return the EXIF orientation, 2 to 8, or None if the image is displayed as stored."""
    if picture.format == "PNG":  # its EXIF data may follow the pixels
        with refusing("the PNG data are damaged or cut short"):
            picture.load()
    value = None
    with suppress(*BROKEN_BYTES):  # damaged EXIF data are ignored
        value = picture.getexif().get(_TAG)
    return value if isinstance(value, int) and value in _TURNS else None


def turn(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn stored pixels `(rows, columns, ...)` to the displayed orientation."""
    return _TURNS[orientation](pixels)


def turn_back(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn displayed pixels `(rows, columns, ...)` back to the stored orientation."""
    return _TURNS[_OPPOSITE.get(orientation, orientation)](pixels)
