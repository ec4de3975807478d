"""PNG, JPEG, TIFF, GIF and BMP images, read with Pillow, with the gray levels stored in the file."""

import os
import struct
import zlib
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.bmp import read_palette_bmp
from medseg.radiograph.channels import (
    JPEG_TOLERANCE,
    find_label_colors,
    find_mask_in_alpha,
    has_colors,
    merge_channels,
    pack_colors,
    reduce_depth,
    split_alpha,
)
from medseg.radiograph.dicom.codestream import check_jpeg_length, find_jpeg_end
from medseg.radiograph.exif import read_exif_orientation, turn, turn_back
from medseg.radiograph.image import MAX_PIXELS, Content, check_image_size
from medseg.radiograph.kind import identify_content
from medseg.radiograph.source import copy_of, open_source, refusing

if TYPE_CHECKING:
    from PIL.Image import Image

_PNG_SIGNATURE, _PNG_AROUND = 8, 12  # bytes before the first chunk; bytes of length, name and checksum of a chunk
_AS_RGB = ("CMYK", "YCbCr", "RGBX")


def read_raster(
    file: BinaryIO,
    kind: str,
    warnings: list[str],
    *,
    color: str = "grey",
    exif: str | None = None,
    mask: bool = False,
    as_colors: bool = False,
) -> Content:
    """Read a `png`, `jpeg`, `tiff`, `gif` or `bmp` image, turned by its EXIF orientation unless `exif="ignore"`.

    Equal channels (in a JPEG: up to 3 levels apart) become grayscale; for other images see `color` in `merge_channels`.
    A `mask` may be a palette image, which gives label values, or may be in the alpha channel only. If its channels
    differ, or with `as_colors`, it gives packed colors. Only a TIFF with WhiteIsZero is inverted, so that bright is
    greater. Raises `RadiographError`.
    """
    from PIL import Image

    image, orientation = _open(file, kind), None
    if kind in ("png", "jpeg", "tiff"):
        orientation = read_exif_orientation(image)
    with refusing(f"the {kind.upper()} data are damaged or cut short", Image.DecompressionBombError):
        pixels = _decode(image, file, mask, as_colors)
    if mask and not as_colors and pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = _take_alpha(pixels, warnings)
    tolerance = JPEG_TOLERANCE if kind == "jpeg" else 0
    is_color = mask and (as_colors or has_colors(pixels, tolerance))
    if is_color:
        is_deep = pixels.dtype.itemsize > 1 and _sample(image, file)[0] == 16
        pixels = pack_colors(reduce_depth(pixels) if is_deep else pixels)
    pixels = split_alpha(pixels, warnings)
    colors = find_label_colors(image, pixels) if mask and not is_color else {}
    if orientation is not None:
        pixels = _turn(pixels, kind, orientation, exif == "ignore")
        what, tag = "mask" if mask else "image", f"EXIF orientation {orientation}"
        ignored = f"the {tag} of the {what} was ignored"
        warnings.append(ignored if exif == "ignore" else f"the {what} was turned by its {tag}")
    if pixels.ndim == 3 and color != "rgb":
        pixels = merge_channels(pixels, tolerance, color, warnings)
    elif color == "rgb" and pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    shown = None if exif == "ignore" else orientation
    return Content(pixels, exif_orientation=shown, colors=colors, is_color=is_color)


def _take_alpha(pixels: NDArray[Any], warnings: list[str]) -> NDArray[Any]:
    """Return the alpha channel if only this channel shows the mask, else all channels."""
    alpha = find_mask_in_alpha(pixels)
    if alpha is None:
        return pixels
    warnings.append("the mask was read from the alpha channel, since the other channels do not show it")
    return alpha


def find_exif_orientation(path: str | os.PathLike[str]) -> int | None:
    """Return the EXIF orientation, 2 to 8, of a file of any format, or None. Raises `RadiographError`."""
    with open_source(path) as file:
        kind = identify_content(file.read(352))
        return read_exif_orientation(_open(file, kind)) if kind in ("png", "jpeg", "tiff") else None


def _open(file: BinaryIO, kind: str) -> "Image":
    """Open the only image of a file, without decoding it."""
    from PIL import Image

    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        with refusing(f"is not a readable {kind.upper()} file"):
            image = Image.open(file, formats=[kind.upper()])
            check_image_size(image.height, image.width)
            frames = 1 + getattr(image, "is_animated", False) if kind == "gif" else getattr(image, "n_frames", 1)
    except Image.DecompressionBombError:
        raise RadiographError(f"claims too many pixels; the limit is {MAX_PIXELS} pixels", "size") from None
    if frames > 1 and kind != "jpeg":
        several = "several" if kind == "gif" else frames
        raise RadiographError(
            f"has {several} pages, but a single page is needed", "frames" if frames < length else "damaged"
        )
    if kind == "png":
        _check_png(file)
    if kind == "jpeg":
        check_jpeg_length(length, image.height, image.width)
        file.seek(0)
        find_jpeg_end(file.read())  # Pillow fills missing data without an error
    return image


def _turn(pixels: NDArray[Any], kind: str, orientation: int, back: bool) -> NDArray[Any]:
    """Turn pixels to the displayed orientation, or `back` to the stored one; Pillow has already turned a TIFF."""
    if kind == "tiff":
        return turn_back(pixels, orientation) if back else pixels
    return pixels if back else turn(pixels, orientation)


def _check_png(file: BinaryIO) -> None:
    """Raise `RadiographError` if the checksum of the pixel data is wrong (ISO 15948 5.3).

    Pillow checks other chunks only, and accepts damaged pixel data.
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
                raise RadiographError("the PNG data are damaged (wrong checksum)")
        at += _PNG_AROUND + length
    file.seek(before)


def _decode(image: "Image", file: BinaryIO, mask: bool, as_colors: bool) -> NDArray[Any]:
    """Decode pixels `(rows, columns)` or `(rows, columns, channels)`; the last of 2 or 4 channels is alpha."""
    labels = mask and not as_colors
    bits, unsigned = _sample(image, file)
    shallow = read_palette_bmp(file) if image.format == "BMP" else None
    if shallow is not None:
        indices, palette = shallow
        pixels = _label_values(indices, palette, arbitrary=True) if labels else palette[indices]
    elif image.format == "PNG" and bits == 16 and image.mode in ("LA", "RGB", "RGBA"):
        pixels = _read_deep_png(file)  # Pillow keeps only 8 bits
    elif image.format == "TIFF" and bits == 16 and image.mode in ("RGB", "RGBA"):
        if read_exif_orientation(image) is not None:
            raise RadiographError("has 16 bits per color channel and an EXIF orientation. Save the image as PNG")
        pixels = _read_deep(file, "TIFF")
        if pixels.dtype.itemsize == 1:  # tiles, or planes one after the other
            raise RadiographError("has 16 bits per color channel in an unusual order. Save the image as PNG")
    elif image.mode in ("P", "PA"):
        pixels = _palette_pixels(image, labels)
    elif mask and bits == 8 and image.mode in ("L", "RGB") and image.has_transparency_data:
        pixels = np.asarray(image.convert("LA" if image.mode == "L" else "RGBA"))
    elif image.mode in _AS_RGB:
        pixels = np.asarray(image.convert("RGB"))
    elif image.mode in ("1", "L", "LA", "RGB", "RGBA", "F") or image.mode.startswith("I"):
        pixels = np.asarray(image)
    else:
        raise RadiographError(f"has the color mode {image.mode}, but grayscale or RGB is needed")
    if image.mode == "L" and bits in (2, 4) and not as_colors:  # Pillow scales them to 0 to 255
        pixels = pixels // (255 // ((1 << bits) - 1))
    if image.format == "TIFF":
        pixels = _as_stored(pixels, image, bits, unsigned)
    return pixels * np.uint8(255 if as_colors else 1) if pixels.dtype == bool else pixels


def _palette_pixels(image: "Image", mask: bool) -> NDArray[Any]:
    """Return the colors of a palette image, with transparency if present; for a mask the label values.

    A mask also gives its colors if only transparency distinguishes them, or if they are gray levels of which only the
    visible pixels count.
    """
    colors = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    if not mask:
        return colors
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    indices = np.asarray(image)
    indices = indices if indices.ndim == 2 else indices[:, :, 0]
    labels = _label_values(indices, palette, image.format == "GIF")
    if colors.shape[2] == 4:
        alone, alpha = (colors[:, :, :3] == colors[0, 0, :3]).all(), colors[:, :, 3]
        if alone and (alpha.min() < alpha.max() or (palette == palette[0]).all()):
            return colors
        hidden_last = len(palette) == 2 and alpha[indices == 0].any() and not alpha[indices == 1].any()
        if (labels is not indices or hidden_last) and find_mask_in_alpha(colors) is not None:
            return colors
    return labels


def _label_values(indices: NDArray[np.uint8], palette: NDArray[np.uint8], arbitrary: bool) -> NDArray[np.uint8]:
    """Return the palette indices; if the palette order is `arbitrary` and all colors are gray, the gray levels.

    The order of two colors is also arbitrary, since programs sort reduced palettes in any way: black becomes 0, the
    other color 1.
    """
    colors = np.zeros((256, 3), np.uint8)  # an index may exceed the palette
    colors[: len(palette)] = palette
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    if arbitrary and (colors[used] == colors[used, :1]).all():
        return np.asarray(colors[indices, 0])
    among = palette if indices.max() < len(palette) <= 2 else colors[used] if arbitrary and len(used) == 2 else ()
    if sum(color.any() for color in among) != 1:
        return indices
    values = np.asarray(colors[indices].any(axis=2), np.uint8)
    return indices if (values == indices).all() else values


def _sample(image: "Image", file: BinaryIO) -> tuple[int, bool]:
    """Return the bits of one sample in the file, and whether it is unsigned."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        return tags.get(258, (1,))[0], tags.get(339, (1,))[0] == 1
    if image.format == "PNG":
        file.seek(24)  # the bit depth in IHDR
        return file.read(1)[0], True
    return 8, True


def _read_deep_png(file: BinaryIO) -> NDArray[Any]:
    """Read a 16-bit PNG in color, or in grayscale with transparency."""
    file.seek(25)  # the color type in IHDR
    if file.read(1) == b"\x04":
        return _read_deep_gray_alpha(file)
    return _read_deep(file, "PNG")


def _read_deep(file: BinaryIO, kind: str) -> NDArray[Any]:
    """Read a color image of 16 bits per channel with SimpleITK, as it is stored."""
    sitk: Any = import_module("SimpleITK")
    is_shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with copy_of(file, f".{kind.lower()}") as path:
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO=f"{kind}ImageIO")))
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(is_shown)


def _read_deep_gray_alpha(file: BinaryIO) -> NDArray[Any]:
    """Read `(rows, columns, 2)` of a 16-bit gray-alpha PNG, which neither Pillow nor SimpleITK reads completely."""
    from PIL import Image

    file.seek(0)
    data = bytearray(file.read())
    data[24:26] = 8, 6  # 8-bit RGBA has the same four bytes per pixel and the same filters (ISO 15948 9.2)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return np.asarray(Image.open(BytesIO(data), formats=["PNG"])).view(">u2").astype(np.uint16)


def _as_stored(pixels: NDArray[Any], image: "Image", bits: int, unsigned: bool) -> NDArray[Any]:
    """Correct the TIFF values that Pillow returns: wrong signs, and WhiteIsZero with more than 8 bits."""
    if image.mode == "I" and unsigned:
        pixels = pixels.view(np.uint32)
    if image.mode == "L" and not unsigned:
        pixels = pixels.view(np.int8)
    white_is_zero = image.tag_v2.get(262) == 0  # type: ignore[attr-defined]
    return invert(pixels) if white_is_zero and (image.mode == "F" or image.mode.startswith("I")) else pixels


def invert(pixels: NDArray[Any]) -> NDArray[Any]:
    """Exchange dark and bright: type maximum minus `pixels` for unsigned types, else least plus greatest minus them."""
    if pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    numbers = pixels.astype(np.float64)
    return np.asarray(numbers.min() + numbers.max() - numbers)
