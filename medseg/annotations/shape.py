"""Shapes that people draw on images, the images of an annotation file, and its problems."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.kind import EXTENSIONS
from medseg.radiograph.source import BROKEN_BYTES, printable

Ring = NDArray[np.float64]
"""Corners of a closed outline `(n, 2)`: x, then y, in pixels; 0, 0 is the corner of the first pixel, not its center."""
Size = tuple[int, int]
"""Rows and columns."""
UNNAMED = "foreground"
"""Label of all shapes in a file that has no labels at all."""
Code = Literal["shape", "no_area", "label", "size", "name", "file"]
"""Kind of a problem: a shape that cannot be read; a point, a line or a label that covers no pixels; a label that is no
class; an image without size; a missing or ambiguous image name; a file that is missing or cannot be read."""

_EXTENSION = re.compile(f"({'|'.join(map(re.escape, EXTENSIONS))})$", re.IGNORECASE)
_CLASS_NAME = re.compile(r"(?!.*_ci95$)[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, eq=False)
class Runs:
    """Run-length coded pixels of a box in an image, decoded only when drawn, since a file may hold thousands."""

    pairs: NDArray[np.int64]
    """`(n, 2)`: the first pixel of each run, counted from 0 in the box, and the number of its pixels."""
    order: Literal["rows", "columns"]
    """Whether pixels are counted along rows or along columns."""
    box: tuple[int, int, int, int] | None = None
    """First row, first column, rows and columns; None for a whole image whose size the file does not say."""


@dataclass(frozen=True, eq=False)
class Shape:
    """One object of a class. It has either rings or runs."""

    label: str
    """Label as in the file; `name_class` makes it a class name."""
    rings: tuple[Ring, ...] = ()
    """Outlines of the object and of its holes: a pixel belongs to it if an odd number of rings encloses its center."""
    runs: Runs | None = None

    def __post_init__(self) -> None:
        if not self.label:
            raise RadiographError("a shape has no label. Give it one", "label")


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image with its shapes. Shapes of one label are one mask and may overlap."""

    name: str
    """Path as in the file, with slashes and composed letters (NFC); an id or a name without extension in some formats;
    empty if the file gives only a `uid`."""
    size: Size | None = None
    """Rows and columns, if the file says them."""
    shapes: tuple[Shape, ...] = ()
    relative: bool = False
    """Whether coordinates are fractions of the columns and rows instead of pixels (YOLO)."""
    uid: str | None = None
    """SOP Instance UID of a DICOM image."""
    split: str | None = None
    """`train`, `validation` or `test`, if the file says it."""
    made_by: str | None = None
    """Model that made these shapes; None if a person did, or has changed any of them since."""
    embedded: bool = False
    """Whether the annotation file holds the image itself, too (LabelMe)."""
    source: Path | None = None
    """Annotation file; a relative `name` usually starts in its folder."""

    @property
    def base(self) -> str:
        """File name without its folders, which often exist on another computer only."""
        return self.name.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """File name without the extension of an image."""
        return strip_extension(self.base)


@dataclass(frozen=True)
class Problem:
    """One problem in an annotation file; its text is a sentence for the user."""

    path: Path
    image: str
    label: str
    reason: str
    code: Code

    def __str__(self) -> str:
        place = [f"image {self.image}"] * bool(self.image) + [f"label {self.label}"] * bool(self.label)
        return ": ".join((printable(self.path), *place, self.reason))


@dataclass(frozen=True, eq=False)
class Annotations:
    """Content of one or more annotation files of one format."""

    format: str
    """A key of `formats.FORMATS`."""
    images: tuple[AnnotatedImage, ...]
    labels: tuple[str, ...]
    """Labels in the order in which the files declare them, also those without any shape; then others, sorted."""
    problems: tuple[Problem, ...]


class Draft:
    """What a reader notes about one file while it yields its images: declared labels, and problems."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labels: dict[str, None] = {}
        self.problems: list[Problem] = []

    def declare(self, *labels: object) -> None:
        """Add declared labels in order."""
        self.labels.update(dict.fromkeys(map(clean, labels)))

    def note(self, image: str, label: object, reason: str, code: Code) -> None:
        """Note a problem."""
        self.problems.append(Problem(self.path, image, clean(label), reason, code))

    @contextmanager
    def reading(self, image: str, label: object = "") -> Iterator[None]:
        """Note an error inside the block as a problem of this image and label, and go on after the block."""
        try:
            yield
        except RadiographError as error:
            self.note(
                image, label, error.reason, next((code for code in get_args(Code) if code == error.code), "shape")
            )
        except BROKEN_BYTES as error:
            self.note(image, label, describe(error), "shape")


def clean(text: object) -> str:
    """Return text stripped and in composed letters (NFC)."""
    return unicodedata.normalize("NFC", str(text)).strip()


def clean_path(text: object) -> str:
    """Return a path stripped, with slashes for backslashes (Windows), in composed letters (NFC)."""
    return clean(text).replace("\\", "/")


def strip_extension(name: str) -> str:
    """Return a name or path without the extension of an image; an id with dots (a DICOM UID) stays whole."""
    return _EXTENSION.sub("", name)


def describe(error: Exception) -> str:
    """Return why an entry cannot be read; of the exception only what contains no value of the file."""
    return f"lacks {error}" if isinstance(error, KeyError) else f"is not written as usual ({type(error).__name__})"


def name_class(label: str) -> str:
    """Return the class name of a label: characters that a class name cannot contain become `_`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", label.strip()).strip("_")[:32]


def is_class_name(name: str) -> bool:
    """Return whether a text may be the name of a class: 1 to 32 letters, digits, `_` or `-`, not ending in `_ci95`."""
    return _CLASS_NAME.fullmatch(name) is not None
