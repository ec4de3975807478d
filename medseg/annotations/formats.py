"""The table of formats: how each is recognized, read and written."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from medseg.annotations.coco import dump_coco, is_coco, read_coco
from medseg.annotations.cvat import dump_cvat, is_cvat, read_cvat
from medseg.annotations.dicom import is_outlines, read_outlines
from medseg.annotations.document import Document, load_document
from medseg.annotations.label_studio import dump_label_studio, is_label_studio, read_label_studio
from medseg.annotations.labelme import dump_labelme, is_labelme, read_labelme
from medseg.annotations.rle_csv import dump_rle_csv, is_chexmask, is_rle_csv, read_chexmask, read_rle_csv
from medseg.annotations.shape import AnnotatedImage, Annotations, Draft, Problem, describe, is_class_name, name_class
from medseg.annotations.via import dump_via, is_via, read_via
from medseg.annotations.yolo import dump_yolo, is_yolo, read_yolo
from medseg.atomic import write_text
from medseg.errors import DataError, RadiographError
from medseg.radiograph.image import check_image_size
from medseg.radiograph.source import BROKEN_BYTES, printable

Place = tuple[Path, str]
"""A file, and the name of the first image of a label that no file declares."""
Dump = Callable[[Sequence[AnnotatedImage], Sequence[str]], dict[str, str]]
"""Gives the text of each file, by its path, of images with their shapes and of all labels in order."""


@dataclass(frozen=True)
class Format:
    """One format."""

    name: str
    title: str
    fits: Callable[[Any], bool]
    """Whether a parsed file is of this format."""
    read: Callable[[Any, Draft], Iterator[AnnotatedImage]]
    """Yields the images of a parsed file, and notes its problems."""
    dump: Dump | None = None
    beside_images: bool = False
    """Whether its files belong into the folder of the images."""
    declares: bool = True
    """Whether its files list their labels, also those without any shape."""

    def write(self, folder: Path, images: Sequence[AnnotatedImage], labels: Sequence[str]) -> None:
        """Write images with their shapes into a folder. Raises `DataError` as `dump` does, and `StorageError`."""
        assert self.dump is not None
        for name, text in self.dump(images, labels).items():
            write_text(folder / name, text)


FORMATS = {
    format.name: format
    for format in (
        Format("coco", "COCO", is_coco, read_coco, dump_coco),
        Format("labelme", "LabelMe", is_labelme, read_labelme, dump_labelme, beside_images=True, declares=False),
        Format("cvat", "CVAT for images 1.1", is_cvat, read_cvat, dump_cvat),
        Format("via", "VGG Image Annotator", is_via, read_via, dump_via),
        Format("yolo", "YOLO segmentation", is_yolo, read_yolo, dump_yolo),
        Format("label_studio", "Label Studio", is_label_studio, read_label_studio, dump_label_studio, declares=False),
        Format("rle_csv", "CSV of run lengths", is_rle_csv, read_rle_csv, dump_rle_csv),
        Format("chexmask", "CheXmask", is_chexmask, read_chexmask),
        Format("dicom", "DICOM GSPS or SR", is_outlines, read_outlines),
    )
}
"""Formats by name."""


def read_annotations(*paths: Path) -> Annotations:
    """Read one or more annotation files of one format, such as a LabelMe file for each image.

    Raises `DataError` if a file cannot be read as a whole or the formats differ; everything else that is wrong is among
    the `problems`.
    """
    return _gather(map(_require, paths))


def find_annotations(paths: Iterable[Path]) -> Annotations | None:
    """Read the annotation files among `paths`, which must be of one format; None if there is none.

    A file that cannot be parsed is a problem if annotation files have its extension. Raises `DataError` as
    `read_annotations` does.
    """
    damaged: list[Problem] = []
    extensions: set[str] = set()

    def load(path: Path) -> tuple[Format, Document] | None:
        try:
            document = load_document(path)
        except RadiographError as error:
            damaged.append(Problem(path, "", "", error.reason, "file"))
            return None
        if (format := _find_format(document.content)) is None:
            return None
        extensions.add(path.suffix.lower())
        return format, document

    found = filter(None, map(load, paths))
    if (first := next(found, None)) is None:
        return None
    read = _gather(chain([first], found))
    lost = [problem for problem in damaged if problem.path.suffix.lower() in extensions]
    return replace(read, problems=(*read.problems, *lost))


def _require(path: Path) -> tuple[Format, Document]:
    document = load_document(path)
    if (format := _find_format(document.content)) is None:
        titles = ", ".join(known.title for known in FORMATS.values())
        raise RadiographError(f"is not an annotation file of a known format: {titles}", "format", printable(path))
    return format, document


def _gather(documents: Iterable[tuple[Format, Document]]) -> Annotations:
    """Return the content of all documents. Each is parsed when it is its turn, and then forgotten."""
    found: dict[str, Path] = {}
    images: list[AnnotatedImage] = []
    declared: dict[str, Place] = {}
    problems: list[Problem] = []
    for format, document in documents:
        found.setdefault(format.name, document.path)
        draft = Draft(document.path)
        images += _read(format, document.content, draft)
        declared |= {label: (document.path, "") for label in draft.labels if label not in declared}
        problems += draft.problems
    if len(found) != 1:
        listed = " and ".join(f"{FORMATS[name].title} ({printable(path)})" for name, path in found.items()) or "none"
        raise DataError(f"annotation files of one format are needed, but these are of {listed}")
    used = {shape.label: (image.source, image.name) for image in images[::-1] for shape in image.shapes}
    labels = declared | {
        label: (path, name) for label, (path, name) in sorted(used.items()) if label not in declared and path
    }
    problems += [*_check_images(images), *_check_labels(labels)]
    return Annotations(next(iter(found)), tuple(_merge(images)), tuple(labels), tuple(problems))


def _find_format(content: Any) -> Format | None:
    return next((format for format in FORMATS.values() if format.fits(content)), None)


def _read(format: Format, content: Any, draft: Draft) -> list[AnnotatedImage]:
    try:
        return [replace(image, source=draft.path) for image in format.read(content, draft)]
    except RadiographError as error:
        raise RadiographError(error.reason, error.code, printable(draft.path)) from None
    except BROKEN_BYTES as error:
        reason = f"is a file of {format.title}, but {describe(error)}"
        raise RadiographError(reason, path=printable(draft.path)) from None


def _merge(images: Iterable[AnnotatedImage]) -> list[AnnotatedImage]:
    """Return images with the shapes of all DICOM objects that refer to them; other images as they are."""
    by_uid: dict[str, AnnotatedImage] = {}
    others = []
    for image in images:
        if image.uid is None:
            others.append(image)
        else:
            earlier = by_uid[image.uid].shapes if image.uid in by_uid else ()
            by_uid[image.uid] = replace(image, shapes=(*earlier, *image.shapes))
    return [*others, *by_uid.values()]


def _check_images(images: Iterable[AnnotatedImage]) -> Iterator[Problem]:
    seen: set[tuple[Path, str]] = set()
    for image in images:
        assert image.source is not None
        if image.uid is None and not image.name:
            yield Problem(image.source, "", "", "an image has no name", "name")
        elif image.uid is None and (image.source, image.name) in seen:
            yield Problem(image.source, image.name, "", "is listed twice. Rename one, or annotate it once", "name")
        seen.add((image.source, image.name))
        try:
            check_image_size(*(image.size or (1, 1)))
        except RadiographError as error:
            yield Problem(image.source, image.name, "", error.reason, "size")


def _check_labels(labels: Mapping[str, Place]) -> Iterator[Problem]:
    classes: dict[str, str] = {}
    for label, (path, image) in labels.items():
        name = name_class(label)
        if not is_class_name(name):
            reason = "cannot become a class name. Use up to 32 letters, digits, _ or -, and do not end in _ci95"
            yield Problem(path, image, label or "(empty)", reason, "label")
        elif name.casefold() in classes:
            reason = f"becomes the class {name}, as the label {classes[name.casefold()]} does. Give both one name"
            yield Problem(path, image, label, reason, "label")
        classes.setdefault(name.casefold(), label)
