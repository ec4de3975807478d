"""NumPy files: `.npy` with one array, `.npz` with several. Arrays of Python objects (pickles) are never loaded."""

import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from tokenize import TokenError
from typing import IO, Any, BinaryIO, NoReturn

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.channels import has_colors, merge_channels, pack_colors
from medseg.radiograph.image import Content, check_image_size
from medseg.radiograph.source import MAX_BYTES, open_source, refusing

_START, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_HEADERS = {1: (2, npy_format.read_array_header_1_0), 2: (4, npy_format.read_array_header_2_0)}
"""Version -> bytes of the length of the header, and its parser."""
_MAX_HEADER, _LISTED = 10_000, 8
_BROKEN = (zipfile.BadZipFile, TokenError)
"""Exceptions for damaged files beside `BROKEN_BYTES`; NumPy parses a header as Python."""
_IMAGE, _MASK, _OF_CLASS = "image", "mask", "mask_"
_IMAGE_SHAPES = "(rows, columns), (rows, columns, 3) or (1, rows, columns)"
_MASK_SHAPES = "(rows, columns), (classes, rows, columns) or (rows, columns, classes)"


def is_numpy(head: bytes) -> bool:
    """Return whether the first 352 bytes are those of a `.npy`, or of a ZIP file whose first member is a `.npy`."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return head.startswith(_START) or (head.startswith(_ZIP) and name.endswith(b".npy"))


def read_npy(file: BinaryIO, color: str, mask: bool, as_colors: bool, warnings: list[str]) -> Content:
    """Read the image or the mask of a `.npy` or `.npz`; `color` as in `merge_channels`.

    The image of a `.npz` is its array `image`, or its only array; the mask is its array `mask`, or its only array. A
    mask must have one channel; with `as_colors`, it may be RGB, which gives packed colors. Raises `RadiographError`.
    """
    with _open(file) as members:
        if not mask:
            pixels = _choose_image(members).load()
            return Content(pixels if pixels.ndim == 2 or color == "rgb" else _merge(pixels, color, warnings))
        masks = _choose_masks(members)
        if _MASK not in masks:
            raise RadiographError(f"holds a mask for each class ({_list(members)}), but a single mask is needed")
        array = masks[_MASK]
        if array.channels > 1 and not (as_colors and array.shape[2] == 3):
            raise RadiographError(f"has {array.channels} channels, but a mask of one channel is needed")
        pixels = array.load()
        return Content(pixels) if pixels.ndim == 2 else Content(pack_colors(pixels), is_color=True)


def list_masks(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the classes of the arrays `mask_<class>` of a `.npz`, or the numbers of the channels of a mask, from 1.

    Returns an empty tuple if the mask has one channel, and for other files. Raises `RadiographError`.
    """
    with open_source(path) as file:
        if not is_numpy(file.read(352)):
            return ()
        with _open(file) as members:
            masks = _choose_masks(members)
            if _MASK not in masks:
                return tuple(masks)
            channels = masks[_MASK].channels
            return tuple(map(str, range(1, channels + 1))) if channels > 1 else ()


def read_masks(path: str | os.PathLike[str]) -> dict[str, NDArray[np.bool_]]:
    """Return the masks `(rows, columns)` by their names in `list_masks`. Raises `RadiographError`."""
    with open_source(path) as file, _open(file) as members:
        masks = _choose_masks(members)
        if _MASK not in masks:
            return {name: _binarize(array.load(), f"{_OF_CLASS}{name}") for name, array in masks.items()}
        array = masks[_MASK]
        channels = np.moveaxis(array.load(), 0 if array.is_first else 2, 0)
        return {str(number): _binarize(channel, f"channel {number}") for number, channel in enumerate(channels, 1)}


def holds_masks(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a `.npz` with an array `mask` or `mask_<class>`; False if it cannot be read."""
    if not os.fspath(path).lower().endswith(".npz"):
        return False
    try:
        with open_source(path) as file:
            if not is_numpy(file.read(352)):
                return False
            with _open(file) as members:
                return any(name == _MASK or name.startswith(_OF_CLASS) for name in members)
    except RadiographError:
        return False


@dataclass(frozen=True)
class _Member:
    """A file with one array."""

    open: Callable[[], AbstractContextManager[IO[bytes]]]
    size: int
    """Bytes."""


@dataclass(frozen=True)
class _Array:
    """An array whose header has been read."""

    member: _Member
    shape: tuple[int, ...]
    """Two or three sizes."""

    @property
    def is_first(self) -> bool:
        """Whether the first of three axes holds the channels, not the last: there are fewer channels than pixels."""
        return len(self.shape) == 3 and self.shape[0] < self.shape[2]

    @property
    def channels(self) -> int:
        return 1 if len(self.shape) == 2 else self.shape[0] if self.is_first else self.shape[2]

    def load(self) -> NDArray[Any]:
        """Return the values in the byte order of this computer; an axis of one channel is removed."""
        with refusing("the NumPy data are damaged or cut short", *_BROKEN), self.member.open() as stream:
            values = np.load(stream, allow_pickle=False)
        if values.ndim == 3 and self.channels == 1:
            values = values[0] if self.is_first else values[:, :, 0]
        kind = np.dtype(np.uint8) if values.dtype == np.bool_ else values.dtype.newbyteorder("=")
        return np.ascontiguousarray(values, kind)


@contextmanager
def _open(file: BinaryIO) -> Iterator[Mapping[str, _Member]]:
    """Give the arrays of a file by name; the array of a `.npy` has no name."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(_START)) == _START:
        yield {"": _Member(lambda: _rewind(file), size)}
        return
    with refusing("is not a readable NumPy file", zipfile.BadZipFile):
        archive = zipfile.ZipFile(file)
    with archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        members = {
            info.filename.removesuffix(".npy"): _Member(_opener(archive, info), info.file_size) for info in infos
        }
        if len(members) < len(infos):
            raise RadiographError("holds two arrays of one name")
        yield members


def _rewind(file: BinaryIO) -> AbstractContextManager[IO[bytes]]:
    file.seek(0)
    return nullcontext(file)


def _opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    """Return a function that opens a member; no more bytes are read than it declares."""

    def open_member() -> IO[bytes]:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RadiographError("is compressed in a way that NumPy does not write. Save it with numpy.savez")
        if info.file_size > MAX_BYTES:
            text = f"holds an array of {info.file_size} bytes; the limit is {MAX_BYTES} bytes"
            raise RadiographError(text, "too-large")
        return archive.open(info)

    return open_member


def _choose_image(members: Mapping[str, _Member]) -> _Array:
    name = _IMAGE if _IMAGE in members else next(iter(members), "")
    if name != _IMAGE and (len(members) != 1 or name == _MASK or name.startswith(_OF_CLASS)):
        raise RadiographError(f"holds {_list(members)}, but an array named image, or a single array, is needed")
    array = _read_header(members[name], _IMAGE_SHAPES)
    if array.channels not in (1, 3) or (array.channels == 3 and array.is_first):
        _refuse_shape(array.shape, _IMAGE_SHAPES)
    return array


def _choose_masks(members: Mapping[str, _Member]) -> dict[str, _Array]:
    """Return the mask under the name `mask`, or else the masks by class."""
    of_classes = {name.removeprefix(_OF_CLASS): name for name in members if name.startswith(_OF_CLASS)}
    single = _MASK if _MASK in members else next(iter(members), "")
    if of_classes and _MASK not in members:
        return {label: _read_header(members[name], _MASK_SHAPES) for label, name in of_classes.items()}
    if of_classes or (single != _MASK and (len(members) != 1 or single == _IMAGE)):
        raise RadiographError(f"holds {_list(members)}, but either mask, or mask_<class> for each class, is needed")
    return {_MASK: _read_header(members[single], _MASK_SHAPES)}


def _list(members: Mapping[str, _Member]) -> str:
    more = [f"{len(members) - _LISTED} more"] if len(members) > _LISTED else []
    return ", ".join([*list(members)[:_LISTED], *more]) or "no array"


def _read_header(member: _Member, shapes: str) -> _Array:
    """Read shape and type of an array before any of its values. Raises `RadiographError` if it cannot be an image."""
    with refusing("is not a readable NumPy file", *_BROKEN), member.open() as stream:
        head = stream.read(10)
        count, parse = _HEADERS.get(head[6] if len(head) == 10 else 0, (0, None))
        if parse is None:
            raise RadiographError("is not a NumPy file of format version 1 or 2")
        head += stream.read(count - 2)
        length = int.from_bytes(head[8:], "little")
        if length > _MAX_HEADER:
            raise RadiographError(f"has a NumPy header of {length} bytes; the limit is {_MAX_HEADER} bytes")
        shape, _, kind = parse(BytesIO(head[8:] + stream.read(length)))
    if kind.hasobject:
        raise RadiographError(
            "holds Python objects (a pickle), which can run any program and are never loaded. Save an array of numbers"
        )
    if kind.kind not in "buif":
        raise RadiographError(f"has values of type {kind.name}, but real numbers are needed")
    if len(shape) not in (2, 3):
        _refuse_shape(shape, shapes)
    array = _Array(member, shape)
    rows, columns = shape[1:] if array.is_first else shape[:2]
    check_image_size(rows, columns)
    if shapes == _MASK_SHAPES:
        check_image_size(rows, columns * array.channels)
    needed = len(head) + length + math.prod(shape) * kind.itemsize
    if needed > member.size:
        raise RadiographError(f"is cut short: {member.size} bytes, but {needed} are needed", "damaged")
    return array


def _refuse_shape(shape: tuple[int, ...], shapes: str) -> NoReturn:
    raise RadiographError(f"has the shape {shape}, but {shapes} is needed", "frames")


def _binarize(values: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Return the foreground of the mask of one class. Raises `RadiographError` unless it is 0 and one other value."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise RadiographError(f"{name} has values that are NaN or infinite")
    found = np.unique(values)
    if values.ndim != 2 or np.count_nonzero(found) > 1:
        raise RadiographError(
            f"{name} has the shape {values.shape} and {len(found)} values up to {found[-1]:g}, but a mask "
            "(rows, columns) of 0 and one other value is needed"
        )
    return np.ascontiguousarray(values != 0)


def _merge(pixels: NDArray[Any], color: str, warnings: list[str]) -> NDArray[Any]:
    """Return a gray image `(rows, columns, 3)` as `(rows, columns)`."""
    if not has_colors(pixels, 0):
        return pixels[:, :, 0]
    if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
        raise RadiographError(
            f"is a color image with values of type {pixels.dtype} from {pixels.min():g} to {pixels.max():g}. Convert "
            "it to grayscale, or save it with 8 or 16 bits per channel",
            "color",
        )
    return merge_channels(pixels.astype(np.uint16), 0, color, warnings)
