"""The EXIF orientation of a PNG, JPEG or TIFF image: how its stored rows and columns are turned to be shown."""

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
"""From stored to shown, by orientation (EXIF 2.32, table 6)."""
_OPPOSITE = {6: 8, 8: 6}


def read_exif_orientation(picture: "Image") -> int | None:
    """The orientation, 2 to 8, of an image that is not shown as it is stored, else None."""
    if picture.format == "PNG":  # whose EXIF data may stand behind the pixels
        with refusing("the PNG data are damaged or cut short"):
            picture.load()
    value = None
    with suppress(*BROKEN_BYTES):  # damaged EXIF data turn nothing
        value = picture.getexif().get(_TAG)
    return value if isinstance(value, int) and value in _TURNS else None


def turn(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Stored pixels `(rows, columns, ...)` as they are shown."""
    return _TURNS[orientation](pixels)


def turn_back(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Shown pixels `(rows, columns, ...)` as they are stored."""
    return _TURNS[_OPPOSITE.get(orientation, orientation)](pixels)
