"""Cases, the sources of their masks, and the rules for file names and file lists."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medseg.annotations import AnnotatedImage
from medseg.archive.places import show_archives
from medseg.config import expand_home
from medseg.radiograph.kind import EXTENSIONS

Values = tuple[int, ...] | Literal["nonzero"]
"""Values of a label map, or all values except 0."""

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Accepted name of a split, in lower case -> split."""

_EXTENSIONS = re.compile(f"({'|'.join(map(re.escape, (*EXTENSIONS, '.img', '.seg.nrrd', '.json')))})$", re.IGNORECASE)


@dataclass(frozen=True)
class MaskSource:
    """Source of one class of one case: a whole file, values of a label map, or a segment of a segmentation."""

    path: Path
    values: Values = ()
    """Label map values of this class; empty if the whole file is one class."""
    known: Values = ()
    """All label map values of any class, without 0; any other value is an error."""
    ignored: int | None = None
    """Value of pixels that are excluded from loss and metrics, such as nnU-Net's label `ignore`."""
    segment: str | None = None
    """Segment name in a DICOM SEG or 3D Slicer file, name of a mask in a NumPy file with several, or label of an
    annotation file; None for other files and for a DICOM SEG with one segment."""
    image: Path | None = None
    """Image of a 3D Slicer file, which gives the position of the mask, or of an annotation file; None for others."""
    drawn: AnnotatedImage | None = None
    """The shapes of an annotation file; None for other files."""
    alone: bool = False
    """Whether the file is in a folder or column of its class, so that all its foreground is this class."""
    others: tuple["MaskSource", ...] = ()
    """More files of the class, whose foreground and ignored pixels are added to those of `path`."""
    as_colors: bool = False
    """Whether `values`, `known` and `ignored` are colors `0xRRGGBB` (`data.colors`)."""


@dataclass(frozen=True)
class Case:
    """One radiograph with its masks, patient, split and metadata."""

    id: str
    image: Path
    """Image file; a LabelMe file if that holds the image."""
    masks: Mapping[str, MaskSource]
    """Mask sources by class. The reference of a missing class is unknown."""
    patient: str = field(default="", repr=False)
    """Patient key; kept in memory only, never written."""
    split: str | None = None
    target: Path | None = None
    """RGB image to learn, if `data.color=rgb`."""
    made_by: str | None = None
    """Model that drew the masks; None if a person did, or has corrected them."""
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class CaseSet:
    """Cases sorted by id, and the classes in channel order."""

    cases: tuple[Case, ...]
    classes: tuple[str, ...]


def case_id(path: Path) -> str:
    """Return the file name without a known extension; other names with dots (a DICOM UID) stay whole.

    The result is composed Unicode (NFC), so that decomposed file names from macOS match the names in other files.
    """
    return _EXTENSIONS.sub("", unicodedata.normalize("NFC", as_text(path.name)))


def as_text(name: object) -> str:
    """Return `name` as text that can be printed and stored; bytes that are not UTF-8 are written as `\\udcXX`.

    A path into an unpacked archive is shown as a path in the archive.
    """
    return show_archives(str(name)).encode("utf-8", "backslashreplace").decode()


def find_file(folder: Path, name: str) -> Path:
    """Return the file with this name, relative to `folder` or to the home folder (`~`). It may not exist.

    If no file has exactly this name, other spellings are tried: slashes for backslashes, composed or decomposed
    letters, and the extension in lower or upper case.
    """
    name = expand_home(name)
    slashed = name.replace("\\", "/")
    stem = _EXTENSIONS.sub("", slashed)
    endings = dict.fromkeys(change(slashed[len(stem) :]) for change in (str, str.lower, str.upper))
    spelled = (unicodedata.normalize(form, stem) + ending for ending in endings for form in ("NFC", "NFD"))
    return next((path for text in (name, slashed, *spelled) if (path := folder / text).is_file()), folder / name)


def list_files(folder: Path) -> list[Path]:
    """Return the visible files of `folder`, sorted by name, without the files of its subfolders."""
    return [path for path in _visible(folder) if not path.is_dir()]


def list_folders(folder: Path) -> list[Path]:
    """Return the visible folders in `folder`, sorted by name."""
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    litter = {"thumbs.db", "desktop.ini", "__macosx"}
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in litter
    )
