"""The nouns of a data set: a case, where its masks stand, which files count."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medseg.config import expand_home
from medseg.radiograph.kind import EXTENSIONS

Values = tuple[int, ...] | Literal["nonzero"]
"""Values of a label map, or all but 0."""

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call a split, in lower case -> the split."""

_EXTENSIONS = re.compile(f"({'|'.join(map(re.escape, (*EXTENSIONS, '.img', '.seg.nrrd')))})$", re.IGNORECASE)


@dataclass(frozen=True)
class MaskSource:
    """Where one class of one case stands: a file of its own, values of a label map, or a segment of a segmentation."""

    path: Path
    values: Values = ()
    """The values of a label map that are this class; empty where the whole file is one class."""
    known: Values = ()
    """All values of that label map that mean something, 0 apart; any other is an error."""
    ignored: int | None = None
    """The value whose pixels count for nothing, such as nnU-Net's label `ignore`."""
    segment: str | None = None
    """The name of the segment of a DICOM SEG or of a file of 3D Slicer; None where the file is neither, or a SEG that
    holds one segment."""
    image: Path | None = None
    """The image that a file of 3D Slicer is placed on; None for any other file."""
    alone: bool = False
    """The file lies in a folder or column of its class: whatever is drawn in it is this class."""


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
    """The file's name without its extension; a name with dots and no known extension (a DICOM UID) stays whole.

    In composed Unicode (NFC), so that the decomposed names of a Mac are those that others write.
    """
    return _EXTENSIONS.sub("", unicodedata.normalize("NFC", as_text(path.name)))


def as_text(name: object) -> str:
    """`name` as text that can be printed and stored; what is no UTF-8 in a file name is written as `\\udcXX`."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def find_file(folder: Path, name: str) -> Path:
    """The file that a text names, relative to `folder` or to the home folder (`~`); a path to nothing if there is none.

    Where none is named so to the letter, a backslash may stand for a slash, letters may be composed or decomposed, and
    the extension may be in capitals or not.
    """
    name = expand_home(name)
    slashed = name.replace("\\", "/")
    stem = _EXTENSIONS.sub("", slashed)
    endings = dict.fromkeys(change(slashed[len(stem) :]) for change in (str, str.lower, str.upper))
    spelled = (unicodedata.normalize(form, stem) + ending for ending in endings for form in ("NFC", "NFD"))
    return next((path for text in (name, slashed, *spelled) if (path := folder / text).is_file()), folder / name)


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
