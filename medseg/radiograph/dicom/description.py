"""Description of a DICOM object from its header, without decoding pixels."""

from dataclasses import dataclass, field
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.uid import UID

from medseg.errors import RadiographError
from medseg.radiograph.dicom.header import integer, items, read_dataset, texts, uid
from medseg.radiograph.dicom.read import find_coded, read_orientation

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
    """Header information of a DICOM object."""

    sop_class: str | None
    sop_class_name: str | None
    """Name in the standard's registry; None for a missing or unknown class."""
    modality: str | None = field(repr=False)
    """Modality, body part and view are raw text in capitals, perhaps a name. Print only terms defined in `terms`."""
    body_part: str | None = field(repr=False)
    view: str | None = field(repr=False)
    orientation: str | None
    rows: int | None
    columns: int | None
    frames: int
    enhanced: bool
    """Whether attributes are in functional groups (PS3.3 C.7.6.16), which are not searched."""
    study_instance_uid: str | None
    series_instance_uid: str | None
    sop_instance_uid: str | None

    @property
    def is_image(self) -> bool:
        """Return whether the class is an image class, or is unknown but has image attributes."""
        if self.sop_class_name is not None:
            return "Image Storage" in self.sop_class_name
        return self.sop_class is None or self.rows is not None


def describe_dicom(file: BinaryIO) -> Description:
    """Describe an open DICOM file. Raises `RadiographError` if the file is not DICOM."""
    dataset = read_dataset(file, _KEYWORDS, pixels=False)
    sop_class = uid(dataset, "SOPClassUID") or uid(getattr(dataset, "file_meta", Dataset()), "MediaStorageSOPClassUID")
    name = UID(sop_class).name if sop_class else ""
    groups = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    return Description(
        sop_class=sop_class,
        sop_class_name=name if name and name != sop_class else None,
        modality=_stated(dataset, "Modality"),
        body_part=_stated(dataset, "BodyPartExamined") or find_coded(dataset, "BodyPartExamined"),
        view=_stated(dataset, "ViewPosition") or find_coded(dataset, "ViewPosition"),
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


def _count(dataset: Dataset, keyword: str) -> int | None:
    try:
        return integer(dataset, keyword)
    except RadiographError:
        return None
