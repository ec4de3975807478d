"""DICOM files byte by byte, since no library writes what these say: one element, one data set, one file."""

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.datadict import dictionary_VR, tag_for_keyword

from tests.support.dicom_files import encode_lossless_jpeg, phantom, write_dicom

Field = bytes | tuple[str, bytes] | tuple[str, bytes, int] | None
"""The value of an attribute; with a VR other than the dictionary's; with a length other than its own; None: absent."""
Changes = Mapping[str | int, Field]

UNDEFINED = 0xFFFFFFFF
PIXELS = phantom().astype("<u2").tobytes()
EIGHT = (phantom() >> 4).astype(np.uint8)
ITEM, ITEM_END, SEQUENCE_END = (bytes.fromhex(f"feff{tag}") for tag in ("00e0", "0de0", "dde0"))
_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_TEXT = ("AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM")


def us(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


PICTURE: dict[str | int, Field] = {
    "SOPClassUID": uid.DigitalXRayImageStorageForPresentation.encode(),
    "SOPInstanceUID": b"1.2.826.0.1.3680043.8.498.1",
    "Modality": b"DX",
    "PresentationIntentType": b"FOR PRESENTATION",
    "PatientName": b"Secret^Name",
    "BodyPartExamined": b"CHEST",
    "ImagerPixelSpacing": b"0.2\\0.15",
    "EstimatedRadiographicMagnificationFactor": b"1.1",
    "ViewPosition": b"PA",
    "StudyInstanceUID": b"1.2.826.0.1.3680043.8.498.2",
    "SeriesInstanceUID": b"1.2.826.0.1.3680043.8.498.3",
    "PatientOrientation": b"L\\F",
    "SamplesPerPixel": us(1),
    "PhotometricInterpretation": b"MONOCHROME2",
    "PlanarConfiguration": us(0),
    "NumberOfFrames": b"1",
    "Rows": us(96),
    "Columns": us(80),
    "PixelSpacing": b"0.19\\0.14",
    "BitsAllocated": us(16),
    "BitsStored": us(12),
    "HighBit": us(11),
    "PixelRepresentation": us(0),
    "PixelPaddingValue": us(4093),  # which the phantom has nowhere
    "PixelPaddingRangeLimit": us(4094),
    "BurnedInAnnotation": b"NO",
    "PixelSpacingCalibrationType": b"FIDUCIAL",
    "WindowCenter": b"2048",
    "WindowWidth": b"4096",
    "RescaleIntercept": b"0",
    "RescaleSlope": b"1",
    "VOILUTFunction": b"LINEAR",
    "NominalScannedPixelSpacing": b"0.2\\0.2",
    "LossyImageCompression": b"00",
    "PresentationLUTShape": b"IDENTITY",
    "PixelData": PIXELS,
}
"""The phantom by what the reader looks at, and a name."""


def _tag(key: str | int) -> int:
    tag = key if isinstance(key, int) else tag_for_keyword(key)
    assert tag is not None, key
    return tag


BITS8: Changes = {"BitsAllocated": us(8), "BitsStored": us(8), "HighBit": us(7), "PixelPaddingValue": None}


def element(key: str | int, field: Field, implicit: bool = False) -> bytes:
    """One data element, little endian; nothing where `field` is None."""
    if field is None:
        return b""
    usual = "UN" if isinstance(key, int) else "OW" if key == "PixelData" else dictionary_VR(key)[:2]
    vr, value, *lie = (usual, field) if isinstance(field, bytes) else field
    value += (b" " if vr in _TEXT else b"\0") * (len(value) % 2)
    length = lie[0] if lie else len(value)
    head = struct.pack("<HH", *divmod(_tag(key), 1 << 16))
    if implicit:
        return head + struct.pack("<I", length) + value
    return head + vr.encode() + (struct.pack("<HI", 0, length) if vr in _LONG else us(length & 0xFFFF)) + value


def data_set(changes: Changes, implicit: bool = False) -> bytes:
    """The picture with some attributes changed, in the order of the tags."""
    fields = {**PICTURE, **changes}
    return b"".join(element(key, fields[key], implicit) for key in sorted(fields, key=_tag))


def meta(changes: Changes | None = None) -> bytes:
    """Preamble and file meta information."""
    fields: Changes = {
        "FileMetaInformationVersion": b"\0\1",
        "MediaStorageSOPClassUID": PICTURE["SOPClassUID"],
        "MediaStorageSOPInstanceUID": PICTURE["SOPInstanceUID"],
        "TransferSyntaxUID": uid.ExplicitVRLittleEndian.encode(),
        **(changes or {}),
    }
    length = "FileMetaInformationGroupLength"
    group = b"".join(element(key, fields[key]) for key in fields if key != length)
    return bytes(128) + b"DICM" + element(length, fields.get(length, struct.pack("<I", len(group)))) + group


def picture(changes: Changes) -> bytes:
    """An uncompressed file."""
    return meta() + data_set(changes)


def encapsulated(syntax: str, items: bytes, changes: Changes) -> bytes:
    """A file whose pixel data are these items and the end of the sequence."""
    pixels = ("OB", items + SEQUENCE_END + bytes(4), UNDEFINED)
    return meta({"TransferSyntaxUID": syntax.encode()}) + data_set({**changes, "PixelData": pixels})


def item(content: bytes, length: int | None = None) -> bytes:
    content += b"\0" * (len(content) % 2)
    return ITEM + struct.pack("<I", len(content) if length is None else length) + content


def framed(syntax: str, frame: bytes, changes: Changes) -> bytes:
    """A file with one compressed frame in one fragment, behind an empty offset table."""
    return encapsulated(syntax, item(b"") + item(frame), changes)


def jpeg(image: np.ndarray = EIGHT, mode: str = "L", **options: object) -> bytes:
    Image.fromarray(image).convert(mode).save(file := BytesIO(), "JPEG", quality=98, **options)
    return file.getvalue()


def compressed(syntax: uid.UID, **options: object) -> bytes:
    """The phantom as pydicom writes it."""
    write_dicom(file := BytesIO(), syntax=syntax, **options)  # type: ignore[arg-type]
    return file.getvalue()


FORMATS = {
    "native": picture({}),
    "jpeg": framed(uid.JPEGBaseline8Bit, jpeg(), BITS8),
    "lossless": framed(uid.JPEGLosslessSV1, encode_lossless_jpeg(phantom(), 12), {}),
    "jpegls": compressed(uid.JPEGLSLossless, compress={}),
    "j2k": compressed(uid.JPEG2000Lossless, compress={}),
    "rle": compressed(uid.RLELossless, compress={}),
    "deflated": compressed(uid.DeflatedExplicitVRLittleEndian),
    "implicit": compressed(uid.ImplicitVRLittleEndian),
    "big": compressed(uid.ExplicitVRBigEndian),
}
"""The phantom in one file of each way of writing; that of `jpeg` alone has eight bits and loses some."""


def zeros(mebibytes: int) -> bytes:
    """A deflate stream (RFC 1951) of nothing but zeros."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # which stands for itself
    return block * mebibytes + packer.flush()


def boundaries(data: bytes) -> set[int]:
    """Where a file that is explicit little endian can be cut: around and within every part of its structure."""
    cuts, at = {0, 1, 127, 128, 130, 131}, 132
    while at + 8 <= len(data):
        is_item = data[at : at + 2] == b"\xfe\xff"
        long = data[at + 4 : at + 6].decode("latin-1") in _LONG and not is_item
        start = at + (12 if long else 8)
        size = int.from_bytes(data[start - 4 : start] if long or is_item else data[start - 2 : start], "little")
        size = 0 if size == UNDEFINED else size
        cuts |= {at, at + 2, at + 4, at + 6, start - 1, start, start + size // 2, start + max(0, size - 1)}
        at = start + size
    return {cut for cut in cuts if cut < len(data)}
