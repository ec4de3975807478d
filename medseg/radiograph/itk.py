"""MHA and NRRD pictures through SimpleITK, which is given attached data only."""

import re
import zlib
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.image import MAX_PIXELS, check_size
from medseg.radiograph.orientation import turn_to_picture
from medseg.radiograph.source import copy_of, refusing

_MAX_HEADER = 1 << 16
_GZIP = ("gzip", "gz")
_SPACING_FIELDS = ("elementspacing", "elementsize", "spacings", "spacedirections")


def read_itk(file: BinaryIO, kind: str, warnings: list[str]) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """`(rows, columns)` as stored and `(row, column)` spacing in mm of an `mha` or `nrrd` of one slice.

    Axes as the direction cosines say; without a spacing field in the header the spacing is unknown, not ITK's 1 mm.
    Raises `RadiographError`, also for a header that names another file for its data.
    """
    sitk: Any = import_module("SimpleITK")
    header = _read_mha_header(file) if kind == "mha" else _read_nrrd_header(file)
    sizes = _sizes(header.get("dimsize") or header.get("sizes") or "")
    check_size(sizes[1], sizes[0])
    if kind == "nrrd" and header.get("encoding", "").lower() not in ("raw", *_GZIP):  # ITK may crash on others
        raise RadiographError("has an encoding other than raw and gzip")
    inflated = _inflated_length(file, kind, header)
    with refusing(f"is not a readable {kind.upper()} file"), copy_of(file, f".{kind}") as path:
        image = sitk.ReadImage(path)
        array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() != 1 or array.dtype.kind not in "iuf":
        raise RadiographError("has several numbers a pixel; one is needed")
    if inflated not in (None, array.nbytes):  # ITK would show memory that nothing was written into
        raise RadiographError(f"the compressed data have {inflated} bytes, {array.nbytes} expected")
    dimensions = image.GetDimension()
    axes = np.zeros((3, 2))
    directions = np.array(image.GetDirection()).reshape(dimensions, dimensions)
    axes[:dimensions] = (directions * image.GetSpacing())[:, :2]
    picture, spacing = turn_to_picture(array.reshape(sizes[1], sizes[0]).T, axes, warnings)
    return picture, spacing if any(header.get(field) for field in _SPACING_FIELDS) else None


def _sizes(value: str) -> tuple[int, ...]:
    """Columns, rows and further sizes, all of them 1."""
    sizes = tuple(int(part) if re.fullmatch(r"\d{1,9}", part) else 0 for part in value.split())
    if len(sizes) < 2 or any(size != 1 for size in sizes[2:]):
        raise RadiographError(f"has {' x '.join(map(str, sizes)) or 'no'} pixels; one slice is needed")
    return sizes


def _read_mha_header(file: BinaryIO) -> dict[str, str]:
    """Fields of a MetaImage header; the data must follow in the same file."""
    fields: dict[str, str] = {}
    for line in _lines(file):
        key, equals, value = line.partition("=")
        if not equals:
            break
        fields[_plain(key)] = value.strip()
        if _plain(key) == "elementdatafile":
            if value.strip().upper() != "LOCAL":
                raise RadiographError("keeps its data in another file; ElementDataFile = LOCAL is needed")
            return fields
    raise RadiographError("has no MetaImage header that ends with ElementDataFile = LOCAL")


def _inflated_length(file: BinaryIO, kind: str, header: dict[str, str]) -> int | None:
    """Bytes that compressed data inflate to, None where they are not compressed.

    Raises `RadiographError` where they do not match their checksum: ITK would go on with what is there.
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
    """Fields of a NRRD header; the data must follow in the same file."""
    fields: dict[str, str] = {}
    for number, line in enumerate(_lines(file)):
        if not line.strip():
            return fields
        key, colon, value = line.partition(":")
        if number and colon and not line.startswith("#"):
            fields[_plain(key)] = value.strip().strip("=")
        if _plain(key) == "datafile":
            raise RadiographError("keeps its data in another file; a NRRD with attached data is needed")
    raise RadiographError("has a NRRD header without an end")


def _lines(file: BinaryIO) -> list[str]:
    file.seek(0)
    return file.read(_MAX_HEADER).decode("latin-1").replace("\r\n", "\n").split("\n")


def _plain(key: str) -> str:
    return key.strip().lower().replace(" ", "")
