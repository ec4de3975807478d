"""YOLO segmentation (docs.ultralytics.com/datasets/segment): `data.yaml`, and one text file for each image.

A line is a class index, then x and y of each corner as fractions of the columns and rows; four numbers are a box
(center, width, height). The image of `labels/a/b.txt` is `images/a/b.*`.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from medseg.annotations.document import decode
from medseg.annotations.geometry import make_rectangle, make_ring
from medseg.annotations.mark import find_size, prepare, sign, verify
from medseg.annotations.shape import AnnotatedImage, Draft, Ring, Shape, clean, clean_path, strip_extension
from medseg.errors import RadiographError
from medseg.radiograph.kind import EXTENSIONS
from medseg.radiograph.source import open_source

FILE = "data.yaml"
_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def is_yolo(content: Any) -> bool:
    """Return whether a YAML file names classes and a folder of images."""
    return isinstance(content, dict) and "names" in content and bool(_SPLITS.keys() & content.keys())


def read_yolo(content: Mapping[str, Any], draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images of a YOLO data set: those of its image folders, and those of its label files."""
    names = content["names"]
    classes = {int(key): clean(name) for key, name in (names.items() if isinstance(names, dict) else enumerate(names))}
    draft.declare(*(classes[key] for key in sorted(classes)))
    splits: dict[Path, str | None] = {}
    for key, named in _SPLITS.items():
        listed = content.get(key) or []
        for text in listed if isinstance(listed, list) else [listed]:
            folder = _find(content, clean_path(text), draft)
            splits[folder] = None if folder in splits else named
    marks, root = dict(content.get("made_by") or {}), draft.path.parent.resolve()
    for folder, split in splits.items():
        for path, labels in _pairs(folder):
            name = clean_path(path.relative_to(root) if path.is_relative_to(root) else path)
            shapes: list[Shape] = []
            if labels is not None:
                shapes += _read_labels(labels, name, classes, draft)
            image = AnnotatedImage(name, None, tuple(shapes), relative=True, split=split)
            yield verify(image, [marks.get(image.stem)])


def _find(content: Mapping[str, Any], text: str, draft: Draft) -> Path:
    """Return a folder of images relative to `path`, or to data.yaml if the paths are of another computer."""
    root, parts = draft.path.parent, PurePosixPath(text).parts
    tried = [
        root / clean_path(content.get("path") or ".") / text,
        *(root.joinpath(*parts[at:]) for at in range(len(parts))),
    ]
    existing = [path for path in tried if path.is_dir() or _labels_of(path).is_dir()]
    if not existing:
        draft.note("", "", f"the folder {text} is missing. Correct it in this file", "file")
    return (existing or tried)[0].resolve()


def _labels_of(images: Path) -> Path:
    """Return the folder of label files: the last folder named `images` becomes `labels`."""
    parts = images.parts
    at = len(parts) - 1 - parts[::-1].index("images") if "images" in parts else None
    return images if at is None else Path(*parts[:at], "labels", *parts[at + 1 :])


def _pairs(folder: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yield image and label file; an image that is not there has no extension."""
    labels = _labels_of(folder)
    files = {clean_path(path.relative_to(labels))[: -len(".txt")]: path for path in _list_files(labels, "*.txt")}
    for path in _list_files(folder, "*"):
        if path.name.lower().endswith(EXTENSIONS) and path.is_file():
            yield path, files.pop(strip_extension(clean_path(path.relative_to(folder))), None)
    yield from ((folder / name, path) for name, path in files.items() if name != "classes")


def _list_files(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, without hidden ones, such as `._a.png` of macOS."""
    for path in sorted(folder.rglob(pattern)):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _read_labels(path: Path, image: str, classes: Mapping[int, str], draft: Draft) -> Iterator[Shape]:
    shapes = []
    if not path.stat().st_size:
        return  # background
    with draft.reading(image), open_source(path) as file:
        for number, line in enumerate(decode(file.read()).splitlines(), 1):
            index, *numbers = line.split() or ["", ""]
            label = classes.get(int(index)) if index.isdigit() else None
            if label is None and index:
                draft.note(image, index, f"line {number} of {path.name}: no such class in data.yaml", "label")
            elif label is not None:
                with draft.reading(image, label):
                    shapes.append(Shape(label, (_ring(list(map(float, numbers)), number),)))
    yield from shapes


def _ring(numbers: list[float], line: int) -> Ring:
    if len(numbers) == 4:
        x, y, width, height = numbers
        return make_rectangle(x - width / 2, y - height / 2, width, height)
    if len(numbers) % 2:
        raise RadiographError(f"line {line} has {len(numbers)} coordinates; x and y of each corner are needed")
    return make_ring(np.reshape(numbers, (-1, 2)))


def dump_yolo(images: Sequence[AnnotatedImage], labels: Sequence[str]) -> dict[str, str]:
    """Return `data.yaml` and `labels/NAME.txt`; the images belong in `images/`. Masks become polygons; holes are
    cut open.

    The marks of models are a key of `data.yaml`, since a label file has no room for them.
    """
    marks: dict[str, str] = {}
    files: dict[str, str] = {}
    for image in prepare(images, masks=False, key=attrgetter("stem")):
        scaled = _scale(image)
        lines = [
            " ".join([str(labels.index(shape.label)), *map(_text, shape.rings[0].ravel())]) for shape in scaled.shapes
        ]
        files[f"labels/{image.stem}.txt"] = "".join(f"{line}\n" for line in lines)
        if mark := sign(scaled):
            marks[image.stem] = mark
    content = {"path": ".", "train": "images", "val": "images", "names": dict(enumerate(labels))}
    content |= {"made_by": marks} if marks else {}
    return files | {FILE: yaml.safe_dump(content, allow_unicode=True, sort_keys=False)}


def _scale(image: AnnotatedImage) -> AnnotatedImage:
    """Return `image` with fractions as they are written."""
    rows, columns = find_size(image)
    shapes = []
    for shape in image.shapes:
        texts = [[float(_text(value)) for value in point] for point in shape.rings[0] / (columns, rows)]
        shapes.append(Shape(shape.label, (np.array(texts),)))
    return AnnotatedImage(image.name, image.size, tuple(shapes), relative=True, made_by=image.made_by)


def _text(value: float) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".")
