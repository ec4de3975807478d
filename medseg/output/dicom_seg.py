"""Writing a DICOM Segmentation object (PS3.3 A.51) for a radiograph, with attributes copied from the source image."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.charset import CODES_TO_ENCODINGS, default_encoding, python_encoding
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import DigitalXRayImageStorageForPresentation

from medseg.atomic import open_atomically
from medseg.errors import RadiographError
from medseg.notice import RESEARCH_USE
from medseg.output.codes import PRIVATE_SCHEME, find_codes
from medseg.radiograph.dicom.decode import LOSSY
from medseg.radiograph.dicom.header import read_dataset, text, uid
from medseg.radiograph.dicom.read import read_orientation
from medseg.radiograph.source import open_source

Masks = NDArray[np.bool_]
_NAMESPACE = uuid.UUID("5a3f6c1e-0d0b-5b53-9a53-6d656473656a")
_CHARACTER_SETS = {
    term.replace("_", " "): "ascii" if encoding == default_encoding else encoding
    for term, encoding in python_encoding.items()
}
"""Python's encodings by the defined terms of SpecificCharacterSet, in which `_` is replaced by a blank."""

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_UID = r"(?=.{1,64}\Z)[0-2](\.(0|[1-9][0-9]*))+"

_DATE = r"[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?"
_TEXT = r"[^\\\x00-\x1f\x7f-\x9f]"
_GROUP = r"[^\\^=\x00-\x1f\x7f-\x9f]*(\^[^\\^=\x00-\x1f\x7f-\x9f]*){0,4}"
_NAME = rf"(?=[^=]{{0,64}}(=[^=]{{0,64}})*\Z){_GROUP}(={_GROUP}){{0,2}}"

_TAKEN_OVER = {
    "PatientName": _NAME,
    "PatientID": rf"{_TEXT}{{0,64}}",
    "PatientBirthDate": _DATE,
    "PatientSex": r"[MFO]",
    "StudyDate": _DATE,
    "StudyTime": _TIME,
    "ReferringPhysicianName": _NAME,
    "StudyID": rf"{_TEXT}{{0,16}}",
    "AccessionNumber": rf"{_TEXT}{{0,16}}",
    "LossyImageCompressionRatio": r"[0-9]{1,8}(\.[0-9]{1,7})?(\\[0-9]{1,8}(\.[0-9]{1,7})?)*",
    "LossyImageCompressionMethod": r"ISO_[0-9]{4,5}_[0-9]{1,2}(\\ISO_[0-9]{4,5}_[0-9]{1,2})*",
}
"""Attributes that the Patient, General Study and Segmentation Image modules require, with valid values (PS3.5 6.2)."""


@dataclass(frozen=True)
class Reference:
    """The attributes that a SEG copies from its source image. They identify the patient, so only the SEG gets them."""

    attributes: dict[str, str] = field(repr=False)
    """Values by keyword, with `\\` between several values. Empty if the attribute is missing or not valid."""
    uids: dict[str, str] = field(repr=False)
    """UIDs of study, series, instance and SOP class, by keyword."""
    problem: str | None
    """The reason why a SEG cannot be made, if there is one. It contains no tag values."""
    warnings: tuple[str, ...]
    """The attributes that were left empty, by keyword. They contain no tag values."""


@dataclass(frozen=True)
class Maker:
    """The origin of a SEG: model, settings, source file and date."""

    model: str
    """16 hex digits of a hash of the model."""
    configuration: str
    """16 hex digits of a hash over the settings that determine the masks."""
    source: str
    """A hash of the whole source file."""
    date: datetime
    version: str


def read_reference(file: BinaryIO) -> Reference:
    """The reference of a SEG to the image in an open DICOM file. Raises `RadiographError` if it is not a DICOM file.

    Values that cannot be decoded or that violate the standard are left empty. A warning gives the keyword.
    """
    keywords = (*_UIDS, *_TAKEN_OVER, "SpecificCharacterSet", "PatientOrientation", "LossyImageCompression")
    warnings: list[str] = []
    with open_source(file) as source:
        dataset = read_dataset(source, keywords, pixels=False)
        uids = {keyword: _read(dataset, keyword, _UID, []) for keyword in _UIDS}
        attributes = {keyword: _read(dataset, keyword, pattern, warnings) for keyword, pattern in _TAKEN_OVER.items()}
        attributes["PatientOrientation"] = read_orientation(dataset) or ""
        lossy = uid(dataset.file_meta, "TransferSyntaxUID") in LOSSY or _raw(dataset, "LossyImageCompression") == b"01"
        attributes["LossyImageCompression"] = "01" if lossy else "00"
    bad = [keyword for keyword, value in uids.items() if not value]
    problem = f"{' and '.join(bad)} {'are' if len(bad) > 1 else 'is'} missing or not valid" if bad else None
    return Reference(attributes, uids, problem, tuple(warnings))


def _read(dataset: Dataset, keyword: str, pattern: str, warnings: list[str]) -> str:
    """The text of an attribute. If it is not valid: an empty text and a warning."""
    raw = _raw(dataset, keyword)
    reason = "is not valid"
    try:
        value = "\\" if raw is None else _decode(raw, text(dataset, "SpecificCharacterSet") or "")
        if value == "" or re.fullmatch(pattern, value):
            return value
    except UnicodeError:
        reason = "cannot be decoded with SpecificCharacterSet"
    warnings.append(f"{keyword} {reason} and was left empty in the SEG")
    return ""


def _raw(dataset: Dataset, keyword: str) -> bytes | None:
    """The bytes of an attribute without padding; empty if it is missing, None if it is not a string.

    The conversion by pydicom is not used, because it prints values that are not valid.
    """
    element = dataset.get_item(keyword, keep_deferred=True)
    if element is None or not element.value:
        return b""
    value = element.value.encode() if isinstance(element.value, str) else element.value
    return value.strip(b" \0") if isinstance(value, bytes) else None


def _decode(raw: bytes, character_set: str) -> str:
    """The text of a value. `character_set` is its first character set (PS3.3 C.12.1.1.2). Raises `UnicodeError`.

    An escape sequence is valid until the next one, or until a delimiter, which restores the first character set (PS3.5
    6.1.2.5.3). The bytes of ISO 2022 IR 87 and 159 may look like delimiters; Python decodes their escapes itself. If
    the character set is missing or unknown, anything except ASCII is an error; nothing is guessed.
    """
    first = _CHARACTER_SETS.get(re.sub("[_-]", " ", character_set), "ascii")
    decoded = ""
    for part in re.findall(rb"^[^\x1b]+|\x1b[^\x1b]*", raw):
        escape = next((known for known in CODES_TO_ENCODINGS if part.startswith(known)), b"")
        encoding = first if escape in (b"", b"\x1b(B", b"\x1b(J") else CODES_TO_ENCODINGS[escape]
        if encoding.startswith("iso2022"):
            decoded += part.decode(encoding)
        else:
            rest = part[len(escape) :]
            held = rest if encoding == first else re.findall(rb"^[^\\^=\t\n\f\r]*", rest)[0]
            decoded += held.decode(encoding) + rest[len(held) :].decode(first)
    return decoded


def build_segmentation(reference: Reference, masks: Masks, classes: Sequence[str], maker: Maker) -> Dataset:
    """A binary SEG of the masks `(class, rows, columns)`, with one segment for each class, even if its mask is empty.

    The same input gives the same bytes: UIDs are hashes of the input, and the current time is not used. The SEG has no
    Frame of Reference, so its pixels correspond to those of the source image (PS3.3 A.51.5.1). Raises `RadiographError`
    if the reference has a problem.
    """
    if reference.problem is not None:
        raise RadiographError(f"a SEG cannot be made: {reference.problem}")
    series = _hash_uid("series", reference.uids["StudyInstanceUID"], maker.model, maker.configuration)
    instance = _hash_uid("instance", series, maker.source, reference.uids["SOPInstanceUID"])
    segmentation = Segmentation(
        source_images=[_stand_in(reference, masks.shape)],
        pixel_array=np.moveaxis(masks, 0, -1)[np.newaxis],
        segmentation_type="BINARY",
        segment_descriptions=_describe(classes, maker),
        series_instance_uid=series,
        series_number=9900,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer="medseg",
        manufacturer_model_name="medseg",
        software_versions=maker.version,
        device_serial_number=maker.model,
        content_label="SEGMENTATION",
        content_description=RESEARCH_USE,
        content_date=f"{maker.date:%Y%m%d}",
        content_time=f"{maker.date:%H%M%S.%f}",
        series_description="medseg segmentation (research use only)",
        coding_schemes=[CodingSchemeIdentificationItem(PRIVATE_SCHEME, "Class names of medseg models")],
        specific_character_set="ISO_IR 192",
        omit_empty_frames=False,
    )
    _complete(segmentation, reference)
    return segmentation


def _hash_uid(*parts: str) -> str:
    """A UID that depends only on `parts` (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(parts)).int}"


def _describe(classes: Sequence[str], maker: Maker) -> list[SegmentDescription]:
    """A segment for each class. The laterality is a modifier of the property type (PS3.3 C.8.20.4)."""
    algorithm = AlgorithmIdentificationSequence(
        "medseg", codes.DCM.ArtificialIntelligence, maker.model, parameters={"configuration": maker.configuration}
    )
    segments = []
    for number, name in enumerate(classes, 1):
        found = find_codes(name)
        segment = SegmentDescription(number, name, found.category, found.structure, "AUTOMATIC", algorithm)
        if found.side is not None:
            kind = segment.SegmentedPropertyTypeCodeSequence[0]
            kind.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(found.side)]
        segments.append(segment)
    return segments


def _stand_in(reference: Reference, shape: tuple[int, ...]) -> Dataset:
    """A source image for highdicom that contains only the size and the UIDs, since highdicom copies and prints values.

    Its SOP class is one that highdicom knows. `_complete` sets the true one.
    """
    source = Dataset()
    for keyword, value in {**dict.fromkeys(_TAKEN_OVER, ""), **reference.uids}.items():
        setattr(source, keyword, value)
    source.SOPClassUID = DigitalXRayImageStorageForPresentation
    source.Rows, source.Columns = shape[1:]
    return source


def _complete(segmentation: Segmentation, reference: Reference) -> None:
    """Add the values that highdicom was not given, and replace its random and time-dependent values by hashes."""
    for keyword, value in reference.attributes.items():
        if value or not keyword.startswith("LossyImage"):
            setattr(segmentation, keyword, value)
    dimension = _hash_uid("dimension", segmentation.SOPInstanceUID)
    for element in segmentation.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = reference.uids["SOPClassUID"]
        elif element.keyword == "DimensionOrganizationUID":
            element.value = dimension
    segmentation.BurnedInAnnotation = "NO"
    del segmentation.InstanceCreationDate, segmentation.InstanceCreationTime
    del segmentation.ContributingEquipmentSequence[0].ContributionDateTime


def write_segmentation(path: Path, reference: Reference, masks: Masks, classes: Sequence[str], maker: Maker) -> None:
    """Write the SEG of `build_segmentation`, whole or not at all. Raises `StorageError` and `RadiographError`."""
    segmentation = build_segmentation(reference, masks, classes, maker)
    with open_atomically(path) as file:
        segmentation.save_as(file, enforce_file_format=True)
