"""PNG, JPEG and TIFF pictures through Pillow, with the grey levels that the file stores."""

import os
import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.codestream import check_jpeg_length
from medseg.radiograph.image import MAX_PIXELS, check_size, merge_channels
from medseg.radiograph.source import copy_of, refusing

if TYPE_CHECKING:
    from PIL.Image import Image

_JPEG_TOLERANCE = 3
_ORIENTATION = 0x0112
_PNG_SIGNATURE, _PNG_AROUND = 8, 12  # bytes before the first chunk, and of length, name and checksum of each
_TURN_BACK: dict[int | None, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda array: np.rot90(array, 2),
    4: np.flipud,
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, 1),
    7: lambda array: np.rot90(array, 2).swapaxes(0, 1),
    8: lambda array: np.rot90(array, -1),
}
"""The undoing of what Pillow does to a TIFF with each orientation tag."""


def read_raster(
    file: BinaryIO,
    kind: str,
    warnings: list[str],
    *,
    color: str = "grey",
    exif: str | None = None,
    indices: bool = False,
) -> NDArray[Any]:
    """`(rows, columns)` as stored, or `(rows, columns, 3)` with `color="rgb"`, of a `png`, `jpeg` or `tiff`.

    Colour whose channels agree (in a JPEG within 3) is grey. With `indices` a palette picture gives its indices, the
    values of a label map. A TIFF whose white is zero is turned round, so that bright is greater; nothing else is.
    Raises `RadiographError`.
    """
    from PIL import Image

    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        with refusing(f"is not a readable {kind.upper()} file"):
            picture = Image.open(file, formats=[kind.upper()])
            frames = getattr(picture, "n_frames", 1)
    except Image.DecompressionBombError:
        raise RadiographError(f"claims more than the {MAX_PIXELS} pixels that are read", "size") from None
    check_size(picture.height, picture.width)
    if frames > 1 and kind != "jpeg":
        raise RadiographError(f"has {frames} pages; a single one is needed", "frames" if frames < length else "damaged")
    if kind == "png":
        _check_png(file)
    if kind == "jpeg":
        check_jpeg_length(length, picture.height, picture.width)
    orientation = _orientation(picture)
    if orientation not in (None, 1):
        warnings.append("an orientation tag asks for the picture to be turned; it was read as it is stored")
    with refusing(f"the {kind.upper()} data are damaged or cut short", Image.DecompressionBombError):
        pixels = _pixels(picture, file, indices, warnings)
    if kind == "tiff" and orientation in _TURN_BACK:
        pixels = _TURN_BACK[orientation](pixels)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2) if color == "rgb" else pixels
    return pixels if color == "rgb" else merge_channels(pixels, _JPEG_TOLERANCE if kind == "jpeg" else 0)


def _check_png(file: BinaryIO) -> None:
    """Raise `RadiographError` where the pixels have another checksum than the file states (ISO 15948 5.3).

    Pillow looks at those of other chunks only, and goes on with whatever damaged pixels unpack to.
    """
    before, at, size = file.tell(), _PNG_SIGNATURE, file.seek(0, os.SEEK_END)
    while at + _PNG_AROUND <= size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"IDAT" and at + _PNG_AROUND + length <= size:
            checksum, left = zlib.crc32(name), length
            while left:
                part = file.read(min(left, 1 << 20))
                checksum, left = zlib.crc32(part, checksum), left - len(part)
            if file.read(4) != checksum.to_bytes(4):
                raise RadiographError("the PNG data are damaged (checksum)")
        at += _PNG_AROUND + length
    file.seek(before)


def _pixels(picture: "Image", file: BinaryIO, indices: bool, warnings: list[str]) -> NDArray[Any]:
    """`(rows, columns)` or `(rows, columns, 3)`, without transparency."""
    bits, unsigned = _sample(picture, file)
    if picture.format == "PNG" and bits == 16 and picture.mode in ("LA", "RGB", "RGBA"):
        pixels = _read_deep_png(file)  # Pillow keeps eight bits only
    elif picture.mode in ("P", "PA") and not indices:
        pixels = np.asarray(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))
    elif picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "F") or picture.mode.startswith("I"):
        pixels = np.asarray(picture)
    else:
        raise RadiographError(f"has the colour mode {picture.mode}; grey or RGB is needed")
    if picture.mode == "L" and bits in (2, 4):  # Pillow spreads them over 0 to 255
        pixels = pixels // (255 // ((1 << bits) - 1))
    if picture.format == "TIFF":
        pixels = _as_stored(pixels, picture, bits, unsigned)
    return _without_alpha(pixels.astype(np.uint8) if pixels.dtype == bool else pixels, warnings)


def _sample(picture: "Image", file: BinaryIO) -> tuple[int, bool]:
    """Bits of one sample in the file, and whether it is unsigned."""
    if picture.format == "TIFF":
        tags = picture.tag_v2  # type: ignore[attr-defined]
        return tags.get(258, (1,))[0], tags.get(339, (1,))[0] == 1
    if picture.format == "PNG":
        file.seek(24)  # the bit depth in IHDR
        return file.read(1)[0], True
    return 8, True


def _read_deep_png(file: BinaryIO) -> NDArray[Any]:
    """Colour of 16 bits."""
    file.seek(25)  # the colour type in IHDR
    if file.read(1) == b"\x04":
        raise RadiographError("is a 16-bit PNG of grey with transparency; save it without transparency")
    sitk: Any = import_module("SimpleITK")
    with copy_of(file, ".png") as path:
        return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO="PNGImageIO")))


def _as_stored(pixels: NDArray[Any], picture: "Image", bits: int, unsigned: bool) -> NDArray[Any]:
    """What Pillow makes of the numbers of a TIFF, put right: wrong signs, and white for zero beyond eight bits."""
    if picture.mode == "I" and unsigned:
        pixels = pixels.view(np.uint32)
    if picture.mode == "L" and not unsigned:
        pixels = pixels.view(np.int8)
    white_is_zero = picture.tag_v2.get(262) == 0  # type: ignore[attr-defined]
    return invert(pixels) if white_is_zero and (picture.mode == "F" or picture.mode.startswith("I")) else pixels


def invert(pixels: NDArray[Any]) -> NDArray[Any]:
    """Dark for bright: the greatest number of an unsigned type minus `pixels`, else least plus greatest minus it."""
    if pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    numbers = pixels.astype(np.float64)
    return np.asarray(numbers.min() + numbers.max() - numbers)


def _without_alpha(pixels: NDArray[Any], warnings: list[str]) -> NDArray[Any]:
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if (np.ptp(pixels[:, :, -1].astype(np.int64))) > 0:
        warnings.append("the transparency of the picture was ignored")
    return pixels[:, :, 0] if pixels.shape[2] == 2 else pixels[:, :, :-1]


def _orientation(picture: "Image") -> int | None:
    """The TIFF or EXIF orientation tag, None where it is absent or unreadable."""
    is_png = picture.format == "PNG"  # whose EXIF data may stand behind the pixels, which are decoded first
    with refusing("the PNG data are damaged or cut short" if is_png else "the EXIF data are damaged"):
        tags = picture.tag_v2 if picture.format == "TIFF" else picture.getexif()  # type: ignore[attr-defined]
        value = tags.get(_ORIENTATION)
    return value if isinstance(value, int) else None
