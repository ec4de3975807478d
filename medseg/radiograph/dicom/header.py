"""The attributes of a DICOM file that concern the picture, each read so that a bad value is seen, never raised."""

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
_ZEROS = (0,)  # padding, or what a failing disk leaves: megabytes that would be gone through in eights
_PIXEL_DATA = Tag("PixelData")
_BEFORE_PIXELS = (*_ZEROS, _PIXEL_DATA, *map(Tag, ("FloatPixelData", "DoubleFloatPixelData")))
_NOTHING = (None, "", b"")  # the raw value first, since pydicom cannot read an empty "US or SS"
_NOT_DICOM = "is not a DICOM file (no preamble, no SOPClassUID)"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1".ljust(len(_DEFLATED), b"\0")


def read_dataset(file: BinaryIO, keywords: tuple[str, ...], pixels: bool) -> Dataset:
    """The attributes `keywords`, and no others, of a DICOM file with or without preamble.

    Without `pixels` reading stops before the pixel data. Raises `RadiographError` for what is not DICOM or ends within
    one of these attributes.
    """
    file.seek(0)
    head = file.read(132)
    has_preamble = head[128:] == b"DICM"
    if not has_preamble and not starts_like_dicom(head):  # gigabytes of zeros would be gone through in eights
        raise RadiographError(_NOT_DICOM, "not-an-image")
    source = _inflate(file, 132 if has_preamble else 0)
    source.seek(0)
    starts: list[int] = []  # of the fragments of encapsulated pixel data

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
    """`file`, or in memory its uncompressed twin where the transfer syntax is Deflated (PS3.5 A.5).

    `start` is where the file meta information starts. Left to pydicom, a few bytes could inflate to any size.
    """
    file.seek(start)
    head = file.read(12)
    has_length = head[:8] == b"\x02\x00\x00\x00UL\x04\x00"
    meta = file.read(min(int.from_bytes(head[8:], "little"), _MAX_META) if has_length else 4096)
    if has_length and file.read(8) == bytes(8):  # pydicom would go through them, as _ZEROS
        raise RadiographError("holds zeros where its data set should start")
    if _DEFLATED not in meta:
        return file
    if not has_length:
        raise RadiographError("is deflated and has no FileMetaInformationGroupLength")
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
    """Raise `RadiographError` where the file ends within a value, which pydicom gives as far as it goes."""
    for part in (getattr(dataset, "file_meta", Dataset()), dataset):
        for element in part.values():
            if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
                read, stated = len(element.value), element.length
                if read < stated != _UNDEFINED_LENGTH:
                    keyword = keyword_for_tag(element.tag)
                    raise RadiographError(f"{keyword} is cut short: {read} bytes, {stated} expected")
    if pixels and "PixelData" not in dataset and source.tell() != source.seek(0, os.SEEK_END):
        raise RadiographError("is cut short or damaged before its pixel data")


def values(dataset: Dataset, keyword: str) -> tuple[object, ...]:
    """The values of an attribute as pydicom gives them: none where it is absent or empty, NaN if it is unreadable."""
    try:
        raw = dataset.get_item(keyword, keep_deferred=True)
        if raw is None or raw.value in _NOTHING or (value := dataset[keyword].value) in _NOTHING:
            return ()
        return (value,) if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else tuple(value)
    except (*BROKEN_BYTES, *_PYDICOM_ERRORS):
        return (math.nan,)


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of an attribute: none where it is absent or empty, NaN for one that is not a number."""
    found = values(dataset, keyword)
    if any(isinstance(value, bytes) for value in found) and " or " not in dataset[keyword].VR:
        return (math.nan,)
    return tuple(_number(value) for value in found)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The one whole number an attribute holds, or None where it is absent. Raises `RadiographError` for all else."""
    found = numbers(dataset, keyword)
    if not found:
        return None
    if len(found) > 1 or not found[0].is_integer():
        raise RadiographError(f"{keyword} is not one whole number")
    return int(found[0])


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute, stripped; none where it is absent or unreadable, or holds bytes or items."""
    found = [value for value in values(dataset, keyword) if value == value]  # NaN stands for the unreadable
    return tuple(str(value).strip(" \0\t\r\n") for value in found if not isinstance(value, bytes | Dataset))


def text(dataset: Dataset, keyword: str) -> str | None:
    """The first value of an attribute, stripped, or None where it is absent, empty or unreadable."""
    return (*texts(dataset, keyword), "")[0] or None


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence attribute; none where it is absent or unreadable."""
    return tuple(item for item in values(dataset, keyword) if isinstance(item, Dataset))


def uid(dataset: Dataset, keyword: str) -> str | None:
    """A well-formed unique identifier (PS3.5 9.1), or None."""
    value = text(dataset, keyword)
    return value if value and re.fullmatch(r"[0-9.]{1,64}", value) else None


def _number(value: object) -> float:
    try:
        if isinstance(value, bytes):  # pydicom leaves "US or SS" as bytes where it cannot decide
            return float(struct.unpack("<H", value)[0])
        return float(value)  # type: ignore[arg-type]
    except BROKEN_BYTES:
        return math.nan


@dataclass(frozen=True)
class PixelFormat:
    """The Image Pixel module (PS3.3 C.7.6.3) of a picture that can be read."""

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
        """The least and the greatest stored value that BitsStored and PixelRepresentation allow."""
        return (-(1 << self.stored - 1), (1 << self.stored - 1) - 1) if self.signed else (0, (1 << self.stored) - 1)


def read_pixel_format(dataset: Dataset, warnings: list[str], allocations: tuple[int, ...] = (8, 16, 32)) -> PixelFormat:
    """The pixel format that the tags state. Raises `RadiographError` naming the tag that is missing or impossible."""
    keywords = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel")
    stated = {keyword: integer(dataset, keyword) for keyword in keywords}
    photometric = text(dataset, "PhotometricInterpretation")
    missing = [keyword for keyword, value in stated.items() if value is None]
    missing += [] if photometric else ["PhotometricInterpretation"]
    if missing or not photometric:
        raise RadiographError(f"{', '.join(missing)} missing; nothing is guessed")
    rows, columns, allocated, stored, representation, samples = (value or 0 for value in stated.values())
    check_image_size(rows, columns)
    if allocated not in allocations:
        raise RadiographError(f"BitsAllocated is {allocated}; one of {allocations} can be read")
    if not 1 <= stored <= allocated:
        raise RadiographError(f"BitsStored is {stored} with BitsAllocated {allocated}")
    if samples not in (1, 3, 4):
        raise RadiographError(f"SamplesPerPixel is {samples}; 1, 3 and 4 exist")
    if representation not in (0, 1):
        raise RadiographError(f"PixelRepresentation is {representation}; 0 and 1 exist")
    high_bit = integer(dataset, "HighBit")
    if high_bit is not None and high_bit != stored - 1:
        warnings.append(f"HighBit is {high_bit} with BitsStored {stored} and BitsAllocated {allocated}")
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
    """The transfer syntax of the file meta information, or the one that the bytes of a bare data set show."""
    stated = uid(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")
    if stated:
        return UID(stated)
    warnings.append("TransferSyntaxUID is missing; the encoding was taken from the data set itself")
    implicit, little = dataset.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
