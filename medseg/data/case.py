"""The nouns of a data set: a case, where its masks stand, which files count."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_EXTENSIONS = re.compile(
    r"\.(nii\.gz|nii|png|jpe?g|tiff?|gif|bmp|img|dcm|dicom|dic|ima|mha|seg\.nrrd|nrrd)$", re.IGNORECASE
)


@dataclass(frozen=True)
class MaskSource:
    """Where one class of one case stands: a file of its own, values of a label map, or a segment of a DICOM SEG."""

    path: Path
    values: tuple[int, ...] = ()
    """The values of a label map that are this class; empty where the whole file is one class."""
    known: tuple[int, ...] = ()
    """All values of that label map that mean something, 0 apart; any other is an error."""
    segment: str | None = None
    """The label of the segment of a DICOM SEG; None where the file is none or holds one segment."""


@dataclass(frozen=True)
class Case:
    """One radiograph with what is known of it."""

    id: str
    image: Path
    masks: Mapping[str, MaskSource]
    """By class; a class that is absent is not known for this case."""
    patient: str = field(default="", repr=False)
    """Names the patient within this run's memory alone; never written."""
    split: str | None = None
    target: Path | None = None
    """The RGB picture to be learnt where `data.color=rgb` asks for it."""
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class CaseSet:
    """Cases ordered by id, and the classes in channel order."""

    cases: tuple[Case, ...]
    classes: tuple[str, ...]


def case_id(path: Path) -> str:
    """The file's name without its extension; a name with dots and no known extension (a DICOM UID) stays whole."""
    return _EXTENSIONS.sub("", as_text(path.name))


def as_text(name: object) -> str:
    """`name` as text that can be printed and stored; what is no UTF-8 in a file name is written as `\\udcXX`."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def list_files(folder: Path) -> list[Path]:
    """The visible files of `folder`, ordered by name; not those of its subfolders."""
    return [path for path in _visible(folder) if not path.is_dir()]


def list_folders(folder: Path) -> list[Path]:
    """The visible folders in `folder`, ordered by name."""
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    litter = {"thumbs.db", "desktop.ini", "__macosx"}
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in litter
    )
