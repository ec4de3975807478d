"""Cases from a folder for each image, as in the Data Science Bowl 2018: `<id>/images/<id>.png`, `<id>/masks/*.png`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medseg.data.case import Case, MaskSource, as_text, case_id, list_files, list_folders
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.dataset_json import Found
from medseg.data.layouts.folders import IMAGES, MASKS, Part, find_folder, list_splits, split_of
from medseg.data.layouts.label_maps import find_own_mask
from medseg.data.layouts.mask_colors import list_colors
from medseg.errors import DataError

_LISTED = 4
CaseFolders = Mapping[Path, str | None]
"""Folders that hold one image each, and their split."""


def find_case_folders(root: Path) -> CaseFolders:
    """Return the folders with images/ and masks/ of one image, in `root` or in the folders of its splits.

    The result is empty if no folder has masks, or if some folder has several images.
    """
    places = {split: split_of(split) for split in list_splits(root)} or {root: None}
    found = {folder: split for place, split in places.items() for folder in list_folders(place)}
    parts = [Part(folder, images) for folder in found if (images := find_folder(folder, IMAGES))]
    fits = any(part.has_masks() for part in parts) and all(len(list_files(part.images)) < 2 for part in parts)
    return {part.root: found[part.root] for part in parts} if fits else {}


def read_case_folders(folders: CaseFolders, config: DataSetConfig, findings: Findings) -> Found:
    """Return a case for each folder. All its masks are objects of one class, and are united.

    Raises `DataError` if settings name several classes, or if no setting names the class and the names of masks may.
    """
    root, colors = as_text(next(iter(folders)).parent), list_colors(config)
    classes = config.classes or tuple(config.label_values or (colors.classes if colors else ())) or ("foreground",)
    if len(classes) > 1:
        setting = next(name for name in ("classes", "label_values", "colors") if getattr(config, name))
        raise DataError(
            f"{root}: has a folder for each image, whose masks are objects of one class, but data.{setting} has "
            f"{len(classes)} classes. Set a single class, or use masks/<class>/<id>.*"
        )
    cases = []
    for folder, split in folders.items():
        name, part = as_text(folder.name), Part(folder, find_folder(folder, IMAGES) or folder)
        if not (images := list_files(part.images)):
            findings.add("layout", name, f"{name}/{as_text(part.images.name)}/", what="folders without an image")
            continue
        files = list_files(part.find_masks(MASKS)) if part.has_masks() else []
        masks = _unite(name, files, images[0], classes[0], config, findings)
        cases.append(Case(name, images[0], masks, split=split))
    if config.classes is None:
        _refuse_classes(root, cases)
    return cases, classes


def _refuse_classes(root: str, cases: Sequence[Case]) -> None:
    """Raise `DataError` if masks of several cases have one name, which may be that of a class."""
    sources = [(case.id, each) for case in cases for own in case.masks.values() for each in (own, *own.others)]
    named = {(case, case_id(source.path)) for case, source in sources}
    counts = Counter(name for case, name in named if name != case)
    if recurring := sorted(name for name, count in counts.items() if count > 1):
        more = f" and {len(recurring) - _LISTED} more" if len(recurring) > _LISTED else ""
        raise DataError(
            f"{root}: has a folder for each image, and several folders have masks of the same name: "
            f"{', '.join(recurring[:_LISTED])}{more}. If the names are classes, use images/<id>.* with "
            "masks/<id>/<class>.*. If all masks are objects of one class, name it: data.classes=[one]"
        )


def _unite(
    case: str, files: Sequence[Path], image: Path, label: str, config: DataSetConfig, findings: Findings
) -> Mapping[str, MaskSource]:
    """Return the source of the class, which has all the files."""
    found = [find_own_mask(case, path, image, label, config, findings) for path in files]
    sources = [source for own in found for source in own.values()]
    return {label: replace(sources[0], others=tuple(sources[1:]))} if sources else {}
