"""MHA and NRRD images, read with SimpleITK; files with detached data are rejected."""

import math
import re
import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.image import MAX_PIXELS, check_image_size
from medseg.radiograph.orientation import Place, find_place, turn_to_picture
from medseg.radiograph.source import copy_of, refusing

_MAX_HEADER = 1 << 16
_GZIP = ("gzip", "gz")
_MM_PER_UNIT = {
    **dict.fromkeys(("mm", "millimeter", "millimeters"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 10.0),
    **dict.fromkeys(("m", "meter", "meters"), 1000.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometers"), 0.001),
}
_SPACING_FIELDS = ("elementspacing", "elementsize", "spacings", "spacedirections")


def read_itk(file: BinaryIO, kind: str, warnings: list[str]) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """Read stored values `(rows, columns)` and spacing `(row, column)` in mm of an `mha` or `nrrd` with one slice.

    Direction cosines define the axes. If the header has no spacing, or none in a unit of length, it is unknown, not
    ITK's 1 mm.
    Raises `RadiographError`, also if the header names another file for its data.
    """
    header = read_itk_header(file, kind)
    sizes = _slice_sizes(header)
    volume = read_volume(file, kind)
    if len(volume.values) != 1:
        raise RadiographError("has several values per pixel, but a single value is needed")
    picture, spacing = turn_to_picture(volume.values.reshape(sizes), volume.steps[:, :2], warnings)
    factor = _find_factor(header)
    if factor is None and any(header.get(field) for field in _SPACING_FIELDS):
        warnings.append(f"the {kind.upper()} header has no usable spacing")
    return picture, None if factor is None or spacing is None else (factor * spacing[0], factor * spacing[1])


def _find_factor(header: dict[str, str]) -> float | None:
    """Millimeters per unit of the spacing; None if fewer than two axes have one, or the unit is not of length."""
    field = next((name for name in _SPACING_FIELDS if header.get(name)), "")
    text = header.get(field, "")
    vectors = re.findall(r"\(([^)]*)\)", text)  # space directions
    lengths = [math.hypot(*map(_number, vector.split(","))) for vector in vectors] or list(map(_number, text.split()))
    written = header.get("spaceunits" if vectors else "units", "").encode("latin-1").decode(errors="replace")
    named = re.findall(r'"\s*([^"]*?)\s*"', written)
    units = {unit.lower() for unit in named if unit} or {"mm"}
    usable = sum(0 < length < math.inf for length in lengths) >= 2
    return _MM_PER_UNIT.get(units.pop()) if usable and len(units) == 1 else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True, eq=False)
class Volume:
    """Values of an `mha` or `nrrd`, and their position in the patient."""

    values: NDArray[Any]
    """`(layer, column, row, slice)`; a non-spatial axis holds the layers."""
    origin: NDArray[np.float64]
    """`(3,)`: center of the first pixel in mm, in DICOM and ITK coordinates."""
    steps: NDArray[np.float64]
    """`(3, 3)`: steps in mm along the axes of the array, one per matrix column."""


def read_volume(file: BinaryIO, kind: str) -> Volume:
    """Read all values of an `mha` or `nrrd`, at most `MAX_PIXELS`. Raises `RadiographError`."""
    sitk: Any = import_module("SimpleITK")
    header = read_itk_header(file, kind)
    *others, rows = _sizes(header)
    check_image_size(rows, math.prod(others))
    if kind == "nrrd" and header.get("encoding", "").lower() not in ("raw", *_GZIP):  # ITK may crash on other encodings
        raise RadiographError("has an unsupported encoding; only raw and gzip are supported")
    inflated = _inflated_length(file, kind, header)
    with refusing(f"is not a readable {kind.upper()} file"), copy_of(file, f".{kind}") as path:
        image = sitk.ReadImage(path)
        array = sitk.GetArrayFromImage(image)
    if array.dtype.kind not in "iuf":
        raise RadiographError("has several values per pixel, but a single value is needed")
    if inflated not in (None, array.nbytes):  # ITK would return uninitialized memory
        raise RadiographError(f"the compressed data have {inflated} bytes, but {array.nbytes} are needed")
    layers = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[None]
    size = (*image.GetSize(), 1)
    values = layers.reshape(len(layers), -1, size[2], size[1], size[0])
    if values.shape[1] != 1:
        raise RadiographError(f"has {' x '.join(map(str, _sizes(header)))} pixels, but one slice is needed")
    return Volume(values[:, 0].transpose(0, 3, 2, 1), *_geometry(image))


def read_itk_geometry(file: BinaryIO, kind: str) -> tuple[tuple[int, int], NDArray[np.float64], NDArray[np.float64]]:
    """Read stored columns and rows, origin and steps (see `Volume`) from the header of an `mha` or `nrrd` slice."""
    sizes = _slice_sizes(read_itk_header(file, kind))
    reader: Any = import_module("SimpleITK").ImageFileReader()
    with refusing(f"is not a readable {kind.upper()} file"), copy_of(file, f".{kind}") as path:
        reader.SetFileName(path)
        reader.ReadImageInformation()
    return sizes, *_geometry(reader)


def find_itk_place(file: BinaryIO, kind: str) -> Place | None:
    """The position of the image that `read_itk` returns; None if the header has no spacing in mm."""
    if _find_factor(read_itk_header(file, kind)) != 1:
        return None
    size, origin, steps = read_itk_geometry(file, kind)
    return find_place(size, origin, steps, steps[:, :2])


def _geometry(image: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return origin and steps in three dimensions, of a SimpleITK image or of a reader that has read its header."""
    count = image.GetDimension()
    origin, steps = np.zeros(3), np.eye(3)
    kept = min(count, 3)
    directions = np.array(image.GetDirection()).reshape(count, count) * image.GetSpacing()
    origin[:kept], steps[:kept, :kept] = image.GetOrigin()[:kept], directions[:kept, :kept]
    return origin, steps


def read_itk_header(file: BinaryIO, kind: str) -> dict[str, str]:
    """Read the header fields; names are in lower case without spaces. The data must follow in the same file."""
    return _read_mha_header(file) if kind == "mha" else _read_nrrd_header(file)


def _slice_sizes(header: dict[str, str]) -> tuple[int, int]:
    """Return columns and rows; all other sizes must be 1."""
    sizes = _sizes(header)
    if any(size != 1 for size in sizes[2:]):
        raise RadiographError(f"has {' x '.join(map(str, sizes))} pixels, but one slice is needed")
    check_image_size(sizes[1], sizes[0])
    return sizes[0], sizes[1]


def _sizes(header: dict[str, str]) -> tuple[int, ...]:
    """Return the length of each axis."""
    value = header.get("dimsize") or header.get("sizes") or ""
    sizes = tuple(int(part) if re.fullmatch(r"\d{1,9}", part) else 0 for part in value.split())
    if len(sizes) < 2:
        raise RadiographError(f"has {' x '.join(map(str, sizes)) or 'no'} pixels, but one slice is needed")
    return sizes


def _read_mha_header(file: BinaryIO) -> dict[str, str]:
    """Read the fields of a MetaImage header; the data must follow in the same file."""
    fields: dict[str, str] = {}
    for line in _lines(file):
        key, equals, value = line.partition("=")
        if not equals:
            break
        fields[_plain(key)] = value.strip()
        if _plain(key) == "elementdatafile":
            if value.strip().upper() != "LOCAL":
                raise RadiographError("keeps its data in another file, but ElementDataFile = LOCAL is needed")
            return fields
    raise RadiographError("has no MetaImage header that ends with ElementDataFile = LOCAL")


def _inflated_length(file: BinaryIO, kind: str, header: dict[str, str]) -> int | None:
    """Return the decompressed length of the data in bytes, or None if they are not compressed.

    Raises `RadiographError` if the checksum is wrong: ITK would accept such data.
    """
    zipped = header.get("compresseddata", "").lower() == "true" or header.get("encoding", "").lower() in _GZIP
    if not zipped:
        return None
    end, window = (rb"ElementDataFile[^\n]*\n", 15) if kind == "mha" else (rb"\n\r?\n", 31)
    file.seek(0)
    *_, data = re.split(end, file.read(), maxsplit=1, flags=re.IGNORECASE)
    inflater = zlib.decompressobj(window)
    with refusing("the compressed data are damaged"):
        length = len(inflater.decompress(data, 8 * MAX_PIXELS))
    if not inflater.eof:
        raise RadiographError("the compressed data are cut short")
    return length


def _read_nrrd_header(file: BinaryIO) -> dict[str, str]:
    """Read the fields of a NRRD header; the data must follow in the same file."""
    fields: dict[str, str] = {}
    for number, line in enumerate(_lines(file)):
        if not line.strip():
            return fields
        key, colon, value = line.partition(":")
        if number and colon and not line.startswith("#"):
            fields[_plain(key)] = value.strip().strip("=")
        if _plain(key) == "datafile":
            raise RadiographError("keeps its data in another file, but a NRRD with attached data is needed")
    raise RadiographError("has a NRRD header without an end")


def _lines(file: BinaryIO) -> list[str]:
    file.seek(0)
    return file.read(_MAX_HEADER).decode("latin-1").replace("\r\n", "\n").split("\n")


def _plain(key: str) -> str:
    return key.strip().lower().replace(" ", "")
