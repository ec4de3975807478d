"""Cases from annotation files, whose shapes are drawn on images; `medseg.annotations` has the formats."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from medseg.annotations import FORMATS, AnnotatedImage, Annotations, Problem, find_annotations, name_class
from medseg.data.case import SPLITS, Case, MaskSource, as_text, case_id, find_file, list_files, list_folders
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.dataset_json import Found, note_unknown
from medseg.data.layouts.folders import MASKS, read_instance_uid
from medseg.errors import DataError
from medseg.radiograph.kind import EXTENSIONS

_logger = logging.getLogger(__name__)
_TEXT = (".json", ".xml", ".yaml", ".yml", ".csv")
"""Extensions of annotation files that are text; DICOM files may have any extension."""
_OWN_FOLDER = ("annotations", "annotation", "labels", "label")
"""Folders of annotation files, beside the folders of the images."""
_NO_IMAGES = {name for names in MASKS for name in names}
_BACKGROUND = "background"
_CODES = {"label": "class_name", "name": "layout"}
"""Code of a `Problem` -> code of a rule; all other codes become `annotation`."""
_WORD = re.compile(r"[a-z]+")
_LOST = "images that annotation files name, but that are not there"
_SEVERAL = "image names that fit several files"
_TWICE = "images in several annotation files; name one file as data.root"


def read_drawn_folder(root: Path, config: DataSetConfig, findings: Findings) -> Found | None:
    """Return the cases of the annotation files anywhere in a folder; None if there are none.

    Text files are looked at first. Raises `DataError` if there are several formats.
    """
    files = list(_walk(root))
    text, others = ([p for p in files if (p.suffix.lower() in _TEXT) == wanted] for wanted in (True, False))
    found = find_annotations(text) or find_annotations(others)
    return None if found is None else _list_cases(root, files, found, config, findings)


def read_drawn_file(path: Path, config: DataSetConfig, findings: Findings) -> Found | None:
    """Return the cases of one annotation file, whose images are in its folder or beside it; None for other files."""
    found = find_annotations([path])
    if found is None:
        return None
    root = path.parent.parent if path.parent.name.lower() in _OWN_FOLDER else path.parent
    return _list_cases(root, list(_walk(root)), found, config, findings)


def _list_cases(
    root: Path, files: Sequence[Path], found: Annotations, config: DataSetConfig, findings: Findings
) -> Found:
    labels = {name_class(label): label for label in found.labels}
    named = tuple(sorted(name for name in labels if name.casefold() != _BACKGROUND))
    classes = config.classes or named
    if not classes:
        raise DataError(f"{as_text(root)}: the annotations have no labels. Set data.classes, or draw shapes")
    if FORMATS[found.format].declares:
        note_unknown(classes, named, findings)
    for problem in found.problems:
        if not problem.label or config.classes is None or name_class(problem.label) in classes:
            _note(problem, findings)
    images = _Images(root, files)
    placed = [(image, images.find(image, findings)) for image in found.images]
    for path, count in Counter(path for _, path in placed).items():
        if count > 1:
            findings.add("layout", case_id(path), as_text(path.name), what=_TWICE)
    several = {source for source, count in Counter(image.source for image, _ in placed).items() if count > 1}
    names = _name_cases([path for _, path in placed], root)
    cases = []
    for (image, path), name in zip(placed, names, strict=True):
        assert image.source is not None
        masks = {
            label: MaskSource(image.source, segment=labels.get(label, label), image=path, drawn=image)
            for label in classes
        }
        split = image.split or _split_of(path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ())
        if split is None and image.source in several:
            split = _split_of(_WORD.findall(image.source.stem.lower()))
        cases.append(Case(name, path, masks, split=split, made_by=image.made_by))
    lacking = sum(case.split is None for case in cases)
    if 0 < lacking < len(cases):
        _logger.warning("%d of %d images have no split, so split.fractions decides for all", lacking, len(cases))
        cases = [replace(case, split=None) for case in cases]
    used = {path for _, path in placed}
    for path in images.files:
        if path not in used:
            findings.add("not_annotated", case_id(path), as_text(path.relative_to(root).as_posix()))
    return cases, classes


def _note(problem: Problem, findings: Findings) -> None:
    findings.add(_CODES.get(problem.code, "annotation"), case_id(Path(problem.image)), str(problem))


class _Images:
    """The images below a folder, by the ways in which annotation files name them."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root, self.all = root, files
        self.files = [path for path in files if path.name.lower().endswith(EXTENSIONS) and not _is_mask(path, root)]

    @cached_property
    def by_name(self) -> Mapping[str, list[Path]]:
        """Files by name in lower case, and by name without extension."""
        found: dict[str, list[Path]] = {}
        for path in self.files:
            for name in {case_id(path).casefold(), _compose(path.name)}:
                found.setdefault(name, []).append(path)
        return found

    @cached_property
    def by_uid(self) -> Mapping[str, Path]:
        """DICOM files by SOP Instance UID."""
        return {uid: path for path in self.all if (uid := read_instance_uid(path)) is not None}

    @cached_property
    def folders(self) -> set[Path]:
        """Folders that hold images."""
        return {path.parent for path in self.files}

    def find(self, image: AnnotatedImage, findings: Findings) -> Path:
        """Return the file of an image. If there is none, or more than one, this is noted.

        The path in the annotation file counts. A file of the same name elsewhere is taken only if there are no images
        where the path leads: then it is a path of another computer, or the images are kept apart. Without a file, an
        image embedded in the annotation file is taken; that file is then the file of the image.
        """
        assert image.source is not None
        if image.uid is not None:
            if image.uid not in self.by_uid:
                name = f"{image.source.name}: SOP Instance UID {image.uid}"
                findings.add("missing_file", image.uid, name, what=_LOST)
            return self.by_uid.get(image.uid, self.root / image.uid)
        folders = (image.source.parent, self.root, self.root / "images")
        places = [Path(os.path.normpath(folder / image.name)) for folder in folders]  # as the files were listed
        for place in places if image.name else []:
            if (named := find_file(place.parent, place.name)).is_file():
                return named
        found: list[Path] = []
        if places[0].parent not in self.folders:
            found = self.by_name.get(_compose(image.base), []) or self.by_name.get(image.stem.casefold(), [])
        if len(found) > 1 and (split := image.split or _split_of(_WORD.findall(image.source.stem.lower()))):
            found = [path for path in found if _split_of(path.relative_to(self.root).parts[:-1]) == split] or found
        if len(found) != 1 and image.embedded:
            return image.source
        if len(found) > 1:
            listed = ", ".join(as_text(path.relative_to(self.root).as_posix()) for path in found[:3])
            findings.add("layout", case_id(found[0]), f"{image.name}: {listed}", what=_SEVERAL)
        elif not found:
            findings.add("missing_file", case_id(Path(image.base)), as_text(image.name or "(empty)"), what=_LOST)
        return found[0] if found else places[0]


def _compose(name: str) -> str:
    stem = case_id(Path(name))
    return (stem + name[len(stem) :]).casefold()


def _walk(root: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders. A link to another folder is followed, if that is not listed anyway."""
    links, seen = [root], set(root.resolve().parents)
    for link in links:  # grows
        waiting = [link]
        while waiting:
            folder = waiting.pop()
            if (place := folder.resolve()) in seen:
                continue
            seen.add(place)
            yield from list_files(folder)
            for inner in reversed(list_folders(folder)):
                (links if inner.is_symlink() else waiting).append(inner)


def _is_mask(path: Path, root: Path) -> bool:
    """Return whether a file lies in a folder of masks."""
    return any(part.lower() in _NO_IMAGES for part in path.relative_to(root).parts[:-1])


def _split_of(words: Iterable[str]) -> str | None:
    """Return the split that some of the words name, such as `train` in images/train/a.png; None if they name two."""
    found = {SPLITS[word.lower()] for word in words if word.lower() in SPLITS}
    return found.pop() if len(found) == 1 else None


def _name_cases(paths: Sequence[Path], root: Path) -> Iterable[str]:
    """Return the file names without extension; those that several images share begin with their folders."""
    names = [case_id(path) for path in paths]
    counts = Counter(names)
    for path, name in zip(paths, names, strict=True):
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        yield name if counts[name] == 1 else "_".join([*inside.parts[:-1], name])
