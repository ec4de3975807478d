"""Cases from folders: images/ beside masks/, with optional folders train/, validation/ and test/ for the split."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medseg.annotations.shape import name_class
from medseg.data.case import SPLITS, Case, MaskSource, as_text, list_files, list_folders
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.class_files import ClassFiles, split_folders, split_names
from medseg.data.layouts.dataset_json import COLORS, Found, note_unknown, note_unmatched
from medseg.data.layouts.label_maps import LabelMaps, find_label_maps, find_own_mask
from medseg.data.layouts.pairing import name_files, pair_files
from medseg.errors import DataError, RadiographError
from medseg.radiograph.dicom.header import read_dataset, uid
from medseg.radiograph.dicom.seg import is_segmentation, read_segmentation
from medseg.radiograph.kind import identify
from medseg.radiograph.npy import holds_masks
from medseg.radiograph.source import open_source

IMAGES = ("images", "image")
MASKS = (("masks", "mask"), ("labels", "label"))
_DRAWN = (".txt", ".json", ".xml", ".csv", ".yaml", ".yml")
"""Extensions of annotation files, which may lie in labels/, too."""
_TARGETS = (("targets", "target"),)


@dataclass(frozen=True)
class Part:
    """Folders of one split, or of the whole data set."""

    root: Path
    """The folder that contains images/ and masks/."""
    images: Path
    """images/, or the folder of the split inside it."""
    split: str | None = None

    def find_masks(self, names: Sequence[Sequence[str]]) -> Path:
        """Return the first folder in `names` that exists for these images. Raises `DataError` if none exists."""
        found = next((folder for group in names if (folder := find_folder(self.root, group))), None)
        if found and self.images.parent != self.root:  # images/train beside masks/train
            found = next((folder for folder in list_splits(found) if split_of(folder) == self.split), None)
        if found is None:
            beside = self.images.relative_to(self.root)
            wanted = Path(names[0][0], *beside.parts[1:])
            raise DataError(f"{as_text(self.root)}: no folder {as_text(wanted)}/ beside {as_text(beside)}/")
        return found

    def holds_masks(self) -> bool:
        """Return whether the image files are NumPy files that hold the masks, too, so that no folder has masks."""
        beside = any(find_folder(self.root, group) for group in MASKS)
        return not beside and any(map(holds_masks, list_files(self.images)))

    def list_masks(self) -> list[Path]:
        """Return the files with masks, without those in folders of classes. Raises `DataError` if there is no place."""
        return list_files(self.images if self.holds_masks() else self.find_masks(MASKS))

    def has_masks(self) -> bool:
        """Return whether there are mask files, or folders of classes, for these images."""
        if self.holds_masks():
            return True
        try:
            folder = self.find_masks(MASKS)
        except DataError:
            return False
        return bool(list_folders(folder)) or any(path.suffix.lower() not in _DRAWN for path in list_files(folder))


def find_parts(root: Path) -> list[Part]:
    """Find the images below `root`: in images/, in <split>/images/ or in images/<split>/. Empty if there are none.

    NumPy files that hold images and masks need no folder images/. Raises `DataError` if two folders have the same
    meaning; the message names both.
    """
    images = _find_images(root)
    if images is None:
        within = [(folder, inner) for folder in list_splits(root) if (inner := _find_images(folder))]
        return [Part(folder, inner, split_of(folder)) for folder, inner in within]
    splits = [] if list_files(images) else list_splits(images)
    return [Part(root, folder, split_of(folder)) for folder in splits] or [Part(root, images)]


def _find_images(place: Path) -> Path | None:
    return find_folder(place, IMAGES) or (place if any(map(holds_masks, list_files(place))) else None)


def find_folder(place: Path, names: Sequence[str]) -> Path | None:
    """Return the folder in `place` that has one of `names`, in upper or lower case, or None.

    Raises `DataError` if there are two; the message names both.
    """
    found = [folder for folder in list_folders(place) if folder.name.lower() in names]
    _check_single(place, found)
    return found[0] if found else None


def read_folder(root: Path, parts: Sequence[Part], config: DataSetConfig, findings: Findings) -> Found:
    """Return the cases of `images/<id>.*` with `masks/<class>/<id>.*`, `masks/<id>.*` or DICOM SEG files in `masks/`.

    If there are several parts, they are the splits. If two parts have a file of one name, ids begin with the split.
    """
    for part in parts:
        if not list_files(part.images):
            raise DataError(
                f"{as_text(part.images)}: no images found. Put the images into this folder, not into subfolders."
            )
    files = () if config.color == "rgb" else (path for part in parts for path in part.list_masks())
    maps = find_label_maps(files, config)
    read = [_read_part(root, part, maps, config, findings) for part in parts]
    known = dict.fromkeys(name for _, names in read for name in names)
    classes = config.classes or (maps.classes if known.keys() <= set(maps.classes) else tuple(sorted(known)))
    classes = COLORS if config.color == "rgb" else classes
    note_unknown(classes, known, findings)
    counts = Counter(case.id for cases, _ in read for case in cases)
    in_one_place = len(parts) == 1 or max(counts.values()) == 1
    return [
        replace(
            case,
            id=case.id if in_one_place else f"{part.split}_{case.id}",
            split=part.split if len(parts) > 1 else None,
        )
        for part, (cases, _) in zip(parts, read, strict=True)
        for case in cases
    ], classes


def _read_part(root: Path, part: Part, maps: LabelMaps, config: DataSetConfig, findings: Findings) -> Found:
    """Return the cases of one part, and the classes of its masks."""
    images = name_files(list_files(part.images), findings)
    if config.color == "rgb":
        targets = pair_files(images, name_files(list_files(part.find_masks(_TARGETS)), findings))
        note_unmatched(images, targets, "mask_without_image", "targets without an image", findings)
        note_unmatched(targets, images, "image_without_mask", "images without a target", findings)
        return [Case(name, path, {}, target=targets.get(name)) for name, path in images.items()], COLORS
    if part.holds_masks():
        return [
            Case(name, path, maps.find_sources(name, path, path, findings) if holds_masks(path) else {})
            for name, path in images.items()
        ], tuple(maps.labels or maps.classes)
    folder = part.find_masks(MASKS)
    folders, files = list_folders(folder), list_files(folder)
    if folders and files:
        findings.add("layout", "", files[0].name, what=f"files beside the class folders in {folder.name}/")
    for lost in (path for place in (part.images, *folders) for path in list_folders(place)):
        findings.add("layout", "", lost.relative_to(root).as_posix(), what="folders in places for files only")
    if folders:
        split = split_folders(images, folders, config, findings)
        files_of = {path.name: name_files(list_files(path), findings) for path in folders} if split is None else {}
        by_class = split or {name: pair_files(images, own) for name, own in files_of.items()}
        return _read_class_files(images, by_class, config, findings)
    if files and all(is_segmentation(path) for path in files):
        return _read_segmentations(images, files, config, findings)
    named = name_files(files, findings)
    masks = pair_files(images, named)
    if masks.keys().isdisjoint(images) and (split := split_names(images, named, config.classes, findings)) is not None:
        return _read_class_files(images, split, config, findings)
    note_unmatched(images, masks, "mask_without_image", "masks without an image", findings)
    return [
        Case(name, path, maps.find_sources(name, masks[name], path, findings) if name in masks else {})
        for name, path in images.items()
    ], tuple(maps.labels or maps.classes)


def _read_class_files(
    images: Mapping[str, Path], by_class: ClassFiles, config: DataSetConfig, findings: Findings
) -> Found:
    masks = {name: by_class[name] for name in config.classes or sorted(by_class) if name in by_class}
    for name, files in masks.items():
        note_unmatched(images, files, "mask_without_image", f"masks of {name} without an image", findings)
    cases = []
    for key, path in images.items():
        sources: dict[str, MaskSource] = {}
        for name, files in masks.items():
            if key in files:
                sources |= find_own_mask(key, files[key], path, name, config, findings)
        cases.append(Case(key, path, sources))
    return cases, tuple(by_class)


def _read_segmentations(
    images: Mapping[str, Path], files: Sequence[Path], config: DataSetConfig, findings: Findings
) -> Found:
    """Match each DICOM SEG file to the image whose SOP instance it references."""
    by_uid = {uid: name for name, path in images.items() if (uid := read_instance_uid(path))}
    masks: dict[str, dict[str, MaskSource]] = {name: {} for name in images}
    for file in files:
        try:
            segmentation = read_segmentation(file)
        except RadiographError as error:
            findings.add("unreadable", "", str(error), what="masks that cannot be read")
            continue
        named = [by_uid[uid] for uid in segmentation.source_uids if uid in by_uid]
        if not named:
            what = "DICOM SEG files that reference no image of this data set"
            findings.add("mask_without_image", "", file.name, what=what)
        for name in named:
            for label in segmentation.masks:
                if (key := name_class(label)) in masks[name]:
                    what = "images with several masks of one class"
                    findings.add("layout", name, f"{name}: {key}", what=what)
                masks[name][key] = MaskSource(file, segment=label)
    found = sorted({label for sources in masks.values() for label in sources})
    classes = config.classes or tuple(found)
    return [
        Case(name, path, {c: masks[name][c] for c in classes if c in masks[name]}) for name, path in images.items()
    ], tuple(found)


def read_instance_uid(path: Path) -> str | None:
    """Return the SOP instance UID of a DICOM file, or None if the file is not DICOM or cannot be read."""
    try:
        with open_source(path) as file:
            if identify(file, path) != "dicom":
                return None
            return uid(read_dataset(file, ("SOPInstanceUID",), pixels=False), "SOPInstanceUID")
    except RadiographError:
        return None


def split_of(folder: Path) -> str | None:
    """Return the split that a folder has the name of, or None."""
    return SPLITS.get(folder.name.lower())


def list_splits(place: Path) -> list[Path]:
    """Return the folders in `place` that have the name of a split. Raises `DataError` if two name the same split."""
    folders = [folder for folder in list_folders(place) if split_of(folder)]
    for split in set(SPLITS.values()):
        _check_single(place, [folder for folder in folders if split_of(folder) == split])
    return folders


def _check_single(place: Path, found: Sequence[Path]) -> None:
    if len(found) > 1:
        names = " and ".join(f"{as_text(folder.name)}/" for folder in found)
        raise DataError(f"{as_text(place)}: contains {names}, which have the same meaning. Keep one of them.")
