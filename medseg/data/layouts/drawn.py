"""Cases from annotation files, whose shapes are drawn on images; `medseg.annotations` has the formats."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from medseg.annotations import AnnotatedImage, Annotations, Problem, find_annotations, name_class
from medseg.data.case import SPLITS, Case, MaskSource, as_text, case_id, find_file, list_files, list_folders
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.dataset_json import Found, note_unknown
from medseg.data.layouts.folders import MASKS, read_instance_uid
from medseg.errors import RadiographError
from medseg.radiograph.kind import starts_like_dicom
from medseg.radiograph.source import open_source

_TEXT = (".json", ".xml", ".yaml", ".yml", ".csv")
"""Extensions of annotation files that are text; DICOM files may have any extension."""
_OWN_FOLDER = ("annotations", "annotation", "labels", "label")
"""Folders of annotation files, beside the folders of the images."""
_BACKGROUND = "background"
_CODES = {"label": "class_name", "name": "layout", "file": "missing_file"}
"""Code of a `Problem` -> code of a rule; all other codes become `annotation`."""
_WORD = re.compile(r"[a-z]+")


def read_drawn_folder(root: Path, config: DataSetConfig, findings: Findings) -> Found | None:
    """Return the cases of the annotation files anywhere in a folder; None if there are none.

    Text files are looked at first. Raises `DataError` if there are several formats.
    """
    files = list(_walk(root))
    text = [path for path in files if path.suffix.lower() in _TEXT]
    found = find_annotations(text)
    if found is None and not any(path.parent.name.lower() in MASKS[1] for path in files):
        found = find_annotations(path for path in files if _is_dicom(path))
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
    note_unknown(classes, named, findings)
    for problem in found.problems:
        if not problem.label or config.classes is None or name_class(problem.label) in classes:
            _note(problem, findings)
    images = _Images(root, files)
    placed = [(image, images.find(image, findings)) for image in found.images]
    names = _name_cases([path for _, path in placed], root)
    cases = []
    for (image, path), name in zip(placed, names, strict=True):
        assert image.source is not None
        masks = {
            label: MaskSource(image.source, segment=labels[label], image=path, drawn=image)
            for label in classes
            if label in labels
        }
        cases.append(Case(name, path, masks, split=image.split or _split_of(image.source), made_by=image.made_by))
    if any(case.split is None for case in cases):  # one name like train.json among others says nothing
        cases = [Case(case.id, case.image, case.masks, made_by=case.made_by) for case in cases]
    _note_others({path for _, path in placed}, files, findings)
    return cases, classes


def _note(problem: Problem, findings: Findings) -> None:
    findings.add(_CODES.get(problem.code, "annotation"), case_id(Path(problem.image)), str(problem))


def _note_others(used: set[Path], files: Sequence[Path], findings: Findings) -> None:
    """Note the images in the same folders that no annotation file names."""
    folders = {path.parent for path in used}
    for path in files:
        if path.parent in folders and path not in used and path.suffix.lower() not in (*_TEXT, ".txt", ".md", ".html"):
            findings.add("not_annotated", case_id(path), path.name)


class _Images:
    """The files below a folder, by the ways in which annotation files name images."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root, self.files = root, files

    @cached_property
    def by_name(self) -> Mapping[str, list[Path]]:
        """Files by name in lower case, and by name without extension."""
        found: dict[str, list[Path]] = {}
        for path in self.files:
            if path.suffix.lower() not in (*_TEXT, ".txt"):
                for name in {case_id(path).casefold(), _compose(path.name)}:
                    found.setdefault(name, []).append(path)
        return found

    @cached_property
    def by_uid(self) -> Mapping[str, Path]:
        """DICOM files by SOP Instance UID."""
        found = {}
        for path in self.files:
            if (known := read_instance_uid(path)) is not None:
                found[known] = path
        return found

    def find(self, image: AnnotatedImage, findings: Findings) -> Path:
        """Return the file of an image. If there is none, or more than one, this is noted."""
        assert image.source is not None
        if image.uid is not None:
            if image.uid not in self.by_uid:
                name = f"{image.source.name}: SOP Instance UID {image.uid}"
                findings.add("missing_file", image.uid, name, what=_LOST)
            return self.by_uid.get(image.uid, self.root / image.uid)
        for folder in (image.source.parent, self.root, self.root / "images"):
            if image.name and (named := find_file(folder, image.name)).is_file():
                return named
        found = self.by_name.get(_compose(image.base), []) or self.by_name.get(image.stem.casefold(), [])
        if len(found) > 1:
            listed = ", ".join(as_text(path.relative_to(self.root).as_posix()) for path in found[:3])
            findings.add("layout", case_id(found[0]), f"{image.name}: {listed}", what=_SEVERAL)
        elif not found:
            findings.add("missing_file", case_id(Path(image.base)), as_text(image.name or "(empty)"), what=_LOST)
        return found[0] if found else self.root / image.base


_LOST = "images that annotation files name, but that are not there"
_SEVERAL = "images of annotation files that could be several files"


def _compose(name: str) -> str:
    stem = case_id(Path(name))
    return (stem + name[len(stem) :]).casefold()


def _walk(root: Path) -> Iterator[Path]:
    yield from list_files(root)
    for folder in list_folders(root):
        yield from _walk(folder)


def _is_dicom(path: Path) -> bool:
    try:
        with open_source(path) as file:
            head = file.read(352)
    except RadiographError:
        return False
    return head[128:132] == b"DICM" or starts_like_dicom(head)


def _split_of(path: Path) -> str | None:
    """Return the split in the name of an annotation file, such as `instances_train2017.json`."""
    found = {SPLITS[word] for word in _WORD.findall(path.stem.lower()) if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def _name_cases(paths: Sequence[Path], root: Path) -> Iterable[str]:
    """Return the file names without extension; those that several images share begin with their folders."""
    names = [case_id(path) for path in paths]
    counts = Counter(names)
    for path, name in zip(paths, names, strict=True):
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        yield name if counts[name] == 1 else "_".join([*inside.parts[:-1], name])
