"""Image channels: conversion of equal channels to grayscale, alpha channels, palette colors, and packed colors."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError

if TYPE_CHECKING:
    from PIL.Image import Image

Color = tuple[int, int, int]
"""Red, green and blue."""
JPEG_TOLERANCE = 3
"""Largest difference between the channels of a gray image after a lossy color transform."""
TRANSPARENT = 1 << 24
"""Number of a transparent pixel among packed colors, which is no color."""
_NEAR, _MOST = 16 / 255, 0.98


def merge_channels(pixels: NDArray[Any], tolerance: int, color: str, warnings: list[str]) -> NDArray[Any]:
    """Return the median of the channels `(rows, columns)` of a gray or nearly gray RGB image `(rows, columns, 3)`.

    An image is gray if its channels differ by at most `tolerance`. With `color="grey"`, an image with a faint tint or a
    small colored mark is accepted with a warning: its channels may differ by at most 16 of 255 on 98 % of the pixels.
    Raises `RadiographError` for other images.
    """
    red, green, blue = np.moveaxis(pixels, 2, 0)
    lower, upper = np.minimum(red, green), np.maximum(red, green)
    spread = np.maximum(upper, blue).astype(np.int32) - np.minimum(lower, blue)
    greatest = int(spread.max())
    if greatest == 0:
        return pixels[:, :, 0]
    top = (1 << max(8, int(pixels.max()).bit_length())) - 1
    if greatest > tolerance:
        if color == "refuse":
            raise RadiographError(
                f"is a color image: its channels differ by up to {greatest} (on a scale from 0 to {top}). Convert the "
                "image to grayscale",
                "color",
            )
        far = float((spread > top * _NEAR).mean())
        if far > 1 - _MOST:
            raise RadiographError(
                f"is a color image: the channels differ by more than {top * _NEAR:.0f} (on a scale from 0 to {top}) "
                f"in {far:.1%} of its pixels. Convert the image to grayscale, or train on RGB images with "
                "data.color=rgb",
                "color",
            )
        warnings.append(
            f"a nearly gray image was read as grayscale; its channels differ by up to {greatest} (on a scale from 0 to "
            f"{top})"
        )
    return np.asarray(np.maximum(lower, np.minimum(upper, blue)))


def split_alpha(pixels: NDArray[Any], warnings: list[str]) -> NDArray[Any]:
    """Remove the alpha channel: `(rows, columns)` or `(rows, columns, 3)`. Warns if the alpha channel is not flat."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if pixels[:, :, -1].min() < pixels[:, :, -1].max():
        warnings.append("the transparency of the image was ignored")
    return pixels[:, :, 0] if pixels.shape[2] == 2 else pixels[:, :, :-1]


def find_mask_in_alpha(pixels: NDArray[Any]) -> NDArray[Any] | None:
    """Return the last of 2 or 4 channels if only this channel shows the mask: strokes on a transparent layer.

    Returns None if the image is opaque, if visible pixels have several colors, or if gray strokes with hard edges lie
    on hidden black: then the other channels show the same mask with its stored values.
    """
    color, alpha = pixels[:, :, :-1], pixels[:, :, -1]
    if alpha.min() == np.iinfo(alpha.dtype).max:
        return None
    if (color == color[0, 0]).all():
        return alpha
    strokes = color[alpha >= max(1, int(alpha.max()) / 2)]  # most editors round the colors of fainter pixels
    if strokes.size == 0 or (strokes != strokes[0]).any():
        return None
    is_gray, drawn = (strokes[0] == strokes[0, 0]).all(), color.any(axis=2)
    is_soft = ((alpha > 0) & (alpha < alpha.max() / 2)).any() and (drawn == (alpha > 0)).all()
    return None if is_gray and not is_soft and not color[alpha == 0].any() else alpha


def has_colors(pixels: NDArray[Any], tolerance: int) -> bool:
    """Return whether red, green and blue `(rows, columns, 3 or 4)` differ by more than `tolerance`; False for gray."""
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return False
    red, green, blue = np.moveaxis(pixels[:, :, :3], 2, 0)
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return bool((highest - lowest > tolerance).any())


def pack_colors(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """Return each color as the number `0xRRGGBB`, `(rows, columns)`; a transparent pixel is `TRANSPARENT`.

    `pixels` are gray levels `(rows, columns)` from 0 to 255, or 1 to 4 channels: gray or RGB, and alpha. Raises
    `RadiographError` for other levels, and if pixels of one color differ in transparency.
    """
    channels = np.atleast_3d(pixels)
    color = channels[:, :, :3] if channels.shape[2] > 2 else channels[:, :, :1]
    if color.dtype.kind not in "ui" or color.min() < 0 or color.max() > 255:
        raise RadiographError(
            f"has levels from {color.min():g} to {color.max():g} of type {color.dtype}, but colors are whole numbers "
            "from 0 to 255. Save the mask with 8 bits per channel"
        )
    packed = np.asarray(
        color.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1] if color.shape[2] > 1 else [0x10101], np.int32)
    )
    if channels.shape[2] in (2, 4):
        alpha = channels[:, :, -1]
        packed[alpha == 0] = TRANSPARENT
        if ((alpha > 0) & (alpha < 255)).any():
            _check_edges(packed[alpha > 0], alpha[alpha > 0])
    return packed


def _check_edges(packed: NDArray[np.int32], alpha: NDArray[Any]) -> None:
    pairs = np.unique(packed.astype(np.int64) << 8 | alpha)
    if len(np.unique(pairs >> 8)) < len(pairs):
        raise RadiographError(
            "has soft edges: pixels of one color differ in transparency. Save the mask without anti-aliasing"
        )


def reduce_depth(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return levels of 16 bits as levels of 8 bits. Raises `RadiographError` if 8 bits cannot state them."""
    high, low = pixels >> 8, pixels & 255
    if ((low != 0) & (low != high)).any():
        raise RadiographError("has 16-bit colors that 8 bits cannot state. Save the mask with 8 bits per channel")
    return high.astype(np.uint8)


def find_label_colors(picture: "Image", pixels: NDArray[Any]) -> dict[int, Color]:
    """Return label value -> palette color if `pixels` are palette indices; colors of several values are left out."""
    if picture.mode != "P" or pixels.ndim != 2 or (pixels != np.asarray(picture)).any():
        return {}
    palette = picture.getpalette("RGB") or []
    values = [value for value in np.unique(pixels).tolist() if 3 * value < len(palette)]
    colors = {value: (palette[3 * value], palette[3 * value + 1], palette[3 * value + 2]) for value in values}
    return {value: color for value, color in colors.items() if [*colors.values()].count(color) == 1}
