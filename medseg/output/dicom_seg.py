"""One DICOM Segmentation object (PS3.3 A.51) for each radiograph: what it takes over from its source, what it adds."""

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
"""Defined terms of SpecificCharacterSet, `_` written as a blank, to Python's encodings."""

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
"""What the Patient, General Study and Segmentation Image modules demand, and how it is written (PS3.5 6.2)."""


@dataclass(frozen=True)
class Reference:
    """What a SEG takes over from its source image. It tells who the patient is and goes nowhere else."""

    attributes: dict[str, str] = field(repr=False)
    """The value of each attribute by keyword, `\\` between several; empty for what is absent or not valid."""
    uids: dict[str, str] = field(repr=False)
    """Of study, series, instance and class, by keyword."""
    problem: str | None
    """Why no SEG can be made, if so; no tag values."""
    warnings: tuple[str, ...]
    """What was left out, by keyword; no tag values."""


@dataclass(frozen=True)
class Maker:
    """Which model made a SEG, from what and when."""

    model: str
    """16 hex digits over the model."""
    configuration: str
    """16 hex digits over the settings that decide the masks."""
    source: str
    """A digest of the whole source file."""
    date: datetime
    version: str


def read_reference(file: BinaryIO) -> Reference:
    """What a SEG of the image in an open DICOM file will refer to. Raises `RadiographError` for what is not DICOM.

    Values that cannot be decoded or that break the standard are left empty, with a warning that names the keyword.
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
    """The text of an attribute, or an empty one, with a warning unless it was empty from the start."""
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
    """The bytes of an attribute without padding, empty where it is absent; None for what is no string.

    pydicom's own conversion would print values that it dislikes.
    """
    element = dataset.get_item(keyword, keep_deferred=True)
    if element is None or not element.value:
        return b""
    value = element.value.encode() if isinstance(element.value, str) else element.value
    return value.strip(b" \0") if isinstance(value, bytes) else None


def _decode(raw: bytes, character_set: str) -> str:
    """The text of a value whose first character set (PS3.3 C.12.1.1.2) is given. Raises `UnicodeError`.

    An escape sequence holds until the next one or a delimiter, which brings the first character set back (PS3.5
    6.1.2.5.3). The bytes of ISO 2022 IR 87 and 159 may look like delimiters; Python reads their escapes by itself.
    Where the character set is missing or unknown all but ASCII is an error, not a guess.
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
    """A binary SEG of the masks `(class, rows, columns)`, a segment for each class, also for one without a pixel.

    The same input gives the same bytes: UIDs are hashes of what the object is made from, and no clock is asked.
    Without a Frame of Reference each pixel corresponds to one of the source image (PS3.3 A.51.5.1).
    Raises `RadiographError` where the reference has a problem.
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
    """A UID that the same parts always give (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(parts)).int}"


def _describe(classes: Sequence[str], maker: Maker) -> list[SegmentDescription]:
    """A segment for each class, with the laterality as a modifier of what it shows (PS3.3 C.8.20.4)."""
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
    """A source image for highdicom, which copies and prints what it is shown: size and references alone.

    Its class is one that highdicom knows; `_complete` puts the true one in.
    """
    source = Dataset()
    for keyword, value in {**dict.fromkeys(_TAKEN_OVER, ""), **reference.uids}.items():
        setattr(source, keyword, value)
    source.SOPClassUID = DigitalXRayImageStorageForPresentation
    source.Rows, source.Columns = shape[1:]
    return source


def _complete(segmentation: Segmentation, reference: Reference) -> None:
    """Put in what was kept from highdicom, and hashes for what it took from the clock and from chance."""
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
    """Write the SEG of `build_segmentation`, whole or not at all. Raises `StorageError`."""
    segmentation = build_segmentation(reference, masks, classes, maker)
    with open_atomically(path) as file:
        segmentation.save_as(file, enforce_file_format=True)
