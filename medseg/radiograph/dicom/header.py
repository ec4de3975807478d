"""Attributes of a DICOM file, read so that an invalid value becomes visible instead of raising a pydicom error."""

import math
import os
import re
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medseg.errors import RadiographError
from medseg.radiograph.dicom.fragments import read_pixel_data
from medseg.radiograph.image import MAX_PIXELS, check_image_size
from medseg.radiograph.kind import starts_like_dicom
from medseg.radiograph.source import BROKEN_BYTES, refusing

MAX_INFLATED = 8 * MAX_PIXELS
_PYDICOM_ERRORS: tuple[type[Exception], ...] = (BytesLengthException, InvalidDicomError)
_MAX_META = 1 << 20
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ZEROS = (0,)  # padding, or zeros from a failing disk: pydicom would step through megabytes in 8 bytes each
_PIXEL_DATA = Tag("PixelData")
_BEFORE_PIXELS = (*_ZEROS, _PIXEL_DATA, *map(Tag, ("FloatPixelData", "DoubleFloatPixelData")))
_NOTHING = (None, "", b"")  # raw values are compared first: pydicom cannot read an empty "US or SS"
_NOT_DICOM = "is not a DICOM file (no preamble and no SOPClassUID)"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1".ljust(len(_DEFLATED), b"\0")


def read_dataset(file: BinaryIO, keywords: tuple[str, ...], pixels: bool) -> Dataset:
    """Read only the attributes `keywords` of a DICOM file with or without preamble.

    Without `pixels`, reading stops before the pixel data. Raises `RadiographError` if the file is not DICOM or ends
    inside one of these attributes.
    """
    file.seek(0)
    head = file.read(132)
    has_preamble = head[128:] == b"DICM"
    if not has_preamble and not starts_like_dicom(head):  # pydicom would step through gigabytes of zeros
        raise RadiographError(_NOT_DICOM, "not-an-image")
    source = _inflate(file, 132 if has_preamble else 0)
    source.seek(0)
    starts: list[int] = []  # position of encapsulated pixel data

    def stops(tag: BaseTag, vr: str | None, length: int) -> bool:
        if pixels and tag == _PIXEL_DATA and length == _UNDEFINED_LENGTH:
            starts.append(source.tell())
        return bool(starts) or tag in (_ZEROS if pixels else _BEFORE_PIXELS)

    with refusing("is not a readable DICOM file", *_PYDICOM_ERRORS):
        dataset = read_partial(
            source,
            stop_when=stops,
            force=True,
            specific_tags=[Tag(keyword) for keyword in (*keywords, "SOPClassUID", "Rows")],
        )
    if not has_preamble and not (text(dataset, "SOPClassUID") or "Rows" in dataset):
        raise RadiographError(_NOT_DICOM, "not-an-image")
    if starts:
        source.seek(starts[0])
        dataset.add(read_pixel_data(source))
    _check_whole(dataset, source, pixels)
    return dataset


def _inflate(file: BinaryIO, start: int) -> BinaryIO:
    """Return `file`, or an uncompressed copy in memory if the transfer syntax is Deflated (PS3.5 A.5).

    `start` is the position of the file meta information. pydicom would let a few bytes inflate to any size.
    """
    file.seek(start)
    head = file.read(12)
    has_length = head[:8] == b"\x02\x00\x00\x00UL\x04\x00"
    meta = file.read(min(int.from_bytes(head[8:], "little"), _MAX_META) if has_length else 4096)
    if has_length and file.read(8) == bytes(8):  # see _ZEROS
        raise RadiographError("contains zeros instead of its data set")
    if _DEFLATED not in meta:
        return file
    if not has_length:
        raise RadiographError("is deflated, but has no FileMetaInformationGroupLength")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    with refusing("the deflated data set is damaged"):
        file.seek(start + len(head) + len(meta))
        data = inflater.decompress(file.read(), MAX_INFLATED)
    if inflater.unconsumed_tail:
        raise RadiographError(f"inflates to more than {MAX_INFLATED} bytes")
    if not inflater.eof:
        raise RadiographError("the deflated data set is cut short")
    return BytesIO(bytes(128) + b"DICM" + head + meta.replace(_DEFLATED, _EXPLICIT) + data)


def _check_whole(dataset: Dataset, source: BinaryIO, pixels: bool) -> None:
    """Raise `RadiographError` if the file ends inside a value; pydicom would return an incomplete value."""
    for part in (getattr(dataset, "file_meta", Dataset()), dataset):
        for element in part.values():
            if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
                read, stated = len(element.value), element.length
                if read < stated != _UNDEFINED_LENGTH:
                    keyword = keyword_for_tag(element.tag)
                    raise RadiographError(f"{keyword} is cut short: {read} bytes, but {stated} are needed")
    if pixels and "PixelData" not in dataset and source.tell() != source.seek(0, os.SEEK_END):
        raise RadiographError("is cut short or damaged before its pixel data")


def values(dataset: Dataset, keyword: str) -> tuple[object, ...]:
    """Return the values of an attribute as pydicom gives them; none if missing or empty, NaN if unreadable."""
    try:
        raw = dataset.get_item(keyword, keep_deferred=True)
        if raw is None or raw.value in _NOTHING or (value := dataset[keyword].value) in _NOTHING:
            return ()
        return (value,) if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else tuple(value)
    except (*BROKEN_BYTES, *_PYDICOM_ERRORS):
        return (math.nan,)


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the values of an attribute as numbers; none if missing or empty, NaN for a value that is not a number."""
    found = values(dataset, keyword)
    if any(isinstance(value, bytes) for value in found) and " or " not in dataset[keyword].VR:
        return (math.nan,)
    return tuple(_number(value) for value in found)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the single whole number of an attribute, or None if missing. Raises `RadiographError` for other values."""
    found = numbers(dataset, keyword)
    if not found:
        return None
    if len(found) > 1 or not found[0].is_integer():
        raise RadiographError(f"{keyword} must be a single whole number")
    return int(found[0])


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an attribute as stripped text; none if missing, unreadable, or made of bytes or items."""
    found = [value for value in values(dataset, keyword) if value == value]  # NaN means unreadable
    return tuple(str(value).strip(" \0\t\r\n") for value in found if not isinstance(value, bytes | Dataset))


def text(dataset: Dataset, keyword: str) -> str | None:
    """Return the first value of an attribute as stripped text, or None if missing, empty or unreadable."""
    return (*texts(dataset, keyword), "")[0] or None


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Return the items of a sequence attribute; none if missing or unreadable."""
    return tuple(item for item in values(dataset, keyword) if isinstance(item, Dataset))


def uid(dataset: Dataset, keyword: str) -> str | None:
    """Return a well-formed unique identifier (PS3.5 9.1), or None."""
    value = text(dataset, keyword)
    return value if value and re.fullmatch(r"[0-9.]{1,64}", value) else None


def _number(value: object) -> float:
    try:
        if isinstance(value, bytes):  # pydicom leaves "US or SS" as bytes if it cannot decide
            return float(struct.unpack("<H", value)[0])
        return float(value)  # type: ignore[arg-type]
    except BROKEN_BYTES:
        return math.nan


@dataclass(frozen=True)
class PixelFormat:
    """Image Pixel module (PS3.3 C.7.6.3) of a readable image."""

    transfer_syntax: UID
    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    planar: int

    @property
    def stored_range(self) -> tuple[int, int]:
        """Return the least and greatest stored value that BitsStored and PixelRepresentation allow."""
        return (-(1 << self.stored - 1), (1 << self.stored - 1) - 1) if self.signed else (0, (1 << self.stored) - 1)


def read_pixel_format(dataset: Dataset, warnings: list[str], allocations: tuple[int, ...] = (8, 16, 32)) -> PixelFormat:
    """Read the pixel format from the tags. Raises `RadiographError` with the name of a missing or invalid tag."""
    keywords = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel")
    stated = {keyword: integer(dataset, keyword) for keyword in keywords}
    photometric = text(dataset, "PhotometricInterpretation")
    missing = [keyword for keyword, value in stated.items() if value is None]
    missing += [] if photometric else ["PhotometricInterpretation"]
    if missing or not photometric:
        raise RadiographError(f"{', '.join(missing)} missing; these tags are required")
    rows, columns, allocated, stored, representation, samples = (value or 0 for value in stated.values())
    check_image_size(rows, columns)
    if allocated not in allocations:
        raise RadiographError(f"BitsAllocated is {allocated}; supported values are {allocations}")
    if not 1 <= stored <= allocated:
        raise RadiographError(f"BitsStored is {stored}; it must be between 1 and BitsAllocated, {allocated}")
    if samples not in (1, 3, 4):
        raise RadiographError(f"SamplesPerPixel is {samples}; valid values are 1, 3 and 4")
    if representation not in (0, 1):
        raise RadiographError(f"PixelRepresentation is {representation}; valid values are 0 and 1")
    high_bit = integer(dataset, "HighBit")
    if high_bit is not None and high_bit != stored - 1:
        warnings.append(f"HighBit is {high_bit}, but BitsStored is {stored} and BitsAllocated is {allocated}")
    if high_bit is None or not stored <= high_bit < allocated:
        high_bit = stored - 1
    return PixelFormat(
        transfer_syntax=_transfer_syntax(dataset, warnings),
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric.upper(),
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=bool(representation),
        planar=integer(dataset, "PlanarConfiguration") or 0,
    )


def _transfer_syntax(dataset: Dataset, warnings: list[str]) -> UID:
    """Return the transfer syntax of the file meta information, else the encoding of the data set itself."""
    stated = uid(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")
    if stated:
        return UID(stated)
    warnings.append("TransferSyntaxUID is missing; the encoding was taken from the data set itself")
    implicit, little = dataset.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
