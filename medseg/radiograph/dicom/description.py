"""What the header of a DICOM file says of its object, before anything is decoded."""

from dataclasses import dataclass, field
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.uid import UID

from medseg.errors import RadiographError
from medseg.radiograph.dicom.header import integer, items, read_dataset, text, texts, uid
from medseg.radiograph.dicom.read import read_orientation
from medseg.radiograph.dicom.terms import name_code

_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True)
class Description:
    """A DICOM object by its header."""

    sop_class: str | None
    sop_class_name: str | None
    """As the standard's registry has it; None for a class that is missing or not in it."""
    modality: str | None = field(repr=False)
    """In capitals as stated, as are body part and view: any text, perhaps a name. Print what `terms` defines only."""
    body_part: str | None = field(repr=False)
    view: str | None = field(repr=False)
    orientation: str | None
    rows: int | None
    columns: int | None
    frames: int
    enhanced: bool
    """Whether its attributes stand in functional groups (PS3.3 C.7.6.16), where they are not looked for."""
    study_instance_uid: str | None
    series_instance_uid: str | None
    sop_instance_uid: str | None

    @property
    def is_image(self) -> bool:
        """Whether the class is one of images, or one not known that holds a picture all the same."""
        if self.sop_class_name is not None:
            return "Image Storage" in self.sop_class_name
        return self.sop_class is None or self.rows is not None


def describe_dicom(file: BinaryIO) -> Description:
    """The description of an open DICOM file. Raises `RadiographError` for what is not DICOM."""
    dataset = read_dataset(file, _KEYWORDS, pixels=False)
    sop_class = uid(dataset, "SOPClassUID") or uid(getattr(dataset, "file_meta", Dataset()), "MediaStorageSOPClassUID")
    name = UID(sop_class).name if sop_class else ""
    groups = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    return Description(
        sop_class=sop_class,
        sop_class_name=name if name and name != sop_class else None,
        modality=_stated(dataset, "Modality"),
        body_part=_stated(dataset, "BodyPartExamined") or _coded(dataset, "BodyPartExamined", "AnatomicRegionSequence"),
        view=_stated(dataset, "ViewPosition") or _coded(dataset, "ViewPosition", "ViewCodeSequence"),
        orientation=read_orientation(dataset),
        rows=_count(dataset, "Rows"),
        columns=_count(dataset, "Columns"),
        frames=_count(dataset, "NumberOfFrames") or 1,
        enhanced=any(items(dataset, keyword) for keyword in groups),
        study_instance_uid=uid(dataset, "StudyInstanceUID"),
        series_instance_uid=uid(dataset, "SeriesInstanceUID"),
        sop_instance_uid=uid(dataset, "SOPInstanceUID"),
    )


def _stated(dataset: Dataset, keyword: str) -> str | None:
    return next((value.upper() for value in texts(dataset, keyword) if value), None)


def _coded(dataset: Dataset, keyword: str, sequence: str) -> str | None:
    """The term that the code in `sequence` stands for: DX images need have no other (PS3.3 C.8.11.2, C.8.11.5)."""
    for item in items(dataset, sequence):
        scheme, value = text(item, "CodingSchemeDesignator"), text(item, "CodeValue")
        if scheme and value:
            return name_code(keyword, scheme, value)
    return None


def _count(dataset: Dataset, keyword: str) -> int | None:
    try:
        return integer(dataset, keyword)
    except RadiographError:
        return None
