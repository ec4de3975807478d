"""Patients whose names stand wherever a DICOM file can hold one, and a search for any trace of them."""

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydicom
from pydicom import uid
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset

from tests.support.dicom_files import make_dataset, phantom, validation_off

MARK = "QZ"
"""Every planted text is this and eight hex digits, those of its tag; a UID ends in 7777 and ten digits."""
DATE, TIME, AGE, WEIGHT = "18610203", "135724.987", "087Y", "98.76543"
_PATTERN = re.compile(
    rb"QZ[0-9A-F]{8}|7777[0-9]{10}|98\.76543|135724\.987|13:57:24|1861[-/. ]?02[-/. ]?03|03[-/. ]?02[-/. ]?1861"
    rb"|Feb\w* 0?3,? 1861|0?3 Feb\w* 1861|(?<![0-9a-z])0?87 ?(Y|years)\b"
    rb"|M(\xc3\xb1|\xf1|\\xf1|\\u00f1|%C3%B1|%F1)z|\xe5\xb1\xb1|%E5%B1%B1|\\u5c71",
    re.IGNORECASE,
)
_TEXT = {"PN", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "CS"}
_PICTURE = {
    "SpecificCharacterSet",
    *("SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition", "PresentationIntentType", "BurnedInAnnotation"),
    *("PhotometricInterpretation", "PresentationLUTShape", "LossyImageCompression", "PixelSpacingCalibrationType"),
    *("VOILUTFunction", "PatientOrientation", "PixelData"),
}
"""What decides how the picture is read: marks in these make files of their own."""

ODD_CODES = tuple(sorted(_PICTURE - {"SOPClassUID", "PixelData"}))
ODD_NUMBERS = (
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing", "ImagerPixelSpacing"),
    *("NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor", "LossyImageCompressionRatio"),
    *("NumberOfFrames", "InstanceNumber", "SeriesNumber"),
)


def mark_for(keyword: str) -> str:
    return f"{MARK}{tag_for_keyword(keyword):08X}"


def plant(dataset: Dataset) -> Dataset:
    """The data set with every text, identifier and date that the dictionary knows, and a few nested and private."""
    with validation_off():
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
            if 0x0008 <= tag >> 16 < 0x5000 and keyword not in _PICTURE:
                text = {"PN": f"{MARK}{tag:08X}^Mñz", "UI": f"2.25.7777{tag:010d}", "DA": DATE, "TM": TIME, "AS": AGE}
                text |= {"DT": DATE + TIME, **dict.fromkeys(_TEXT - {"PN"}, f"{MARK}{tag:08X}")}
                if vr in text:
                    dataset.add_new(tag, vr, text[vr])
        for keyword in ("OtherPatientIDsSequence", "RequestAttributesSequence", "IconImageSequence"):
            item = Dataset()
            item.PatientID = item.AccessionNumber = mark_for(keyword)
            setattr(dataset, keyword, [item])
        dataset.PatientWeight = WEIGHT
        block = dataset.private_block(0x0009, f"{MARK}00090010", create=True)
        for element, vr in enumerate(("LO", "UN", "OB", "LT")):
            value = f"{MARK}0009100{element}"
            block.add_new(element, vr, value.encode() if vr in ("UN", "OB") else value)
        for element, vr in ((0x0022, "LO"), (0x1500, "LO")):
            dataset.add_new((0x6000, element), vr, f"{MARK}6000{element:04X}")
        dataset.add_new((0xFFFC, 0xFFFC), "OB", b"QZFFFCFFFC")
    return dataset


def patient(
    pixels: np.ndarray | None = None,
    syntax: uid.UID = uid.ExplicitVRLittleEndian,
    compress: dict[str, Any] | None = None,
    frame: bytes | None = None,
    **tags: Any,
) -> bytes:
    """A DICOM file of a patient whose every attribute is known; `tags` as in `make_dataset`."""
    pixels = phantom() if pixels is None else pixels
    dataset = plant(make_dataset(pixels))
    with validation_off():
        for keyword, value in {"SpecificCharacterSet": "ISO_IR 192", **tags}.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian if compress else syntax
        dataset.file_meta.ImplementationVersionName = f"{MARK}00020013"
        dataset.file_meta.SourceApplicationEntityTitle = f"{MARK}00020016"
        dataset.file_meta.PrivateInformationCreatorUID = "2.25.77770000131328"
        dataset.file_meta.PrivateInformation = b"QZ00020102"
        dataset.preamble = (f"{MARK}00000000 " * 12).encode().ljust(128, b"\0")[:128]
        if "PixelData" not in tags:
            order = "<" if syntax.is_little_endian else ">"
            native = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
            dataset.PixelData = pydicom.encaps.encapsulate([frame]) if frame else native
            dataset["PixelData"].VR = "OB" if frame or pixels.dtype.itemsize == 1 else "OW"
        if compress:
            dataset.compress(syntax, generate_instance_uid=False, **compress)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def odd_number(keyword: str) -> bytes:
    """A file whose attribute is no number but a mark."""
    data = patient(**{keyword: [9876543210, 1] if keyword.endswith("Spacing") else 9876543210})
    assert data.count(b"9876543210") == 1
    return data.replace(b"9876543210", mark_for(keyword).encode())


def find_patient_text(data: bytes) -> list[str]:
    """What of a patient stands in these bytes, in whatever encoding, packed or not."""
    found = set()
    for unpacked in (data, *_unpack(data)):
        for readable in (unpacked, unpacked.replace(b"\0", b"")):  # the latter for UTF-16 and UTF-32
            found |= {match[0].decode("latin-1") for match in _PATTERN.finditer(readable)}
    return sorted(found)


def _unpack(data: bytes) -> Iterator[bytes]:
    if data[:2] == b"\x1f\x8b":
        yield _inflate(data, 31)
    if data[:4] == b"\x89PNG":
        at, pixels = 8, b""
        while at + 8 <= len(data):
            length, name = struct.unpack_from(">I4s", data, at)
            chunk = data[at + 8 : at + 8 + length]
            pixels += chunk if name == b"IDAT" else b""
            for start in (match.start() for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", chunk)):
                if name in (b"zTXt", b"iTXt", b"iCCP"):
                    yield _inflate(chunk[start:])
            at += 12 + length
        yield _inflate(pixels)


def _inflate(data: bytes, window: int = 15) -> bytes:
    """What can be unpacked of data that may be damaged."""
    unpacker, unpacked = zlib.decompressobj(window), b""
    with contextlib.suppress(zlib.error):
        for start in range(0, len(data), 64):
            unpacked += unpacker.decompress(data[start : start + 64])
    return unpacked
