"""The layouts of a data set: images/ and masks/, a CSV manifest, nnU-Net's and Decathlon's dataset.json."""

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from medseg.data.case import Case, MaskSource, as_text, case_id, list_files, list_folders
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.label_maps import find_label_maps, find_own_mask, name_class
from medseg.errors import DataError, RadiographError
from medseg.radiograph.header import read_dataset, uid
from medseg.radiograph.kind import identify
from medseg.radiograph.seg import is_segmentation, read_segmentation
from medseg.radiograph.source import open_source

Found = tuple[list[Case], tuple[str, ...]]
_SPLITS = ("train", "validation", "test")
_COLOURS = ("red", "green", "blue")


def read_folder(root: Path, config: DataSetConfig, findings: Findings) -> Found:
    """Cases of `images/<id>.*` with `masks/<class>/<id>.*`, `masks/<id>.*` or DICOM SEG objects in `masks/`."""
    images = _by_id(list_files(root / "images"), findings)
    if not images:
        raise DataError(f"{as_text(root / 'images')}: no images found; they lie in this folder itself, not below it")
    folder = root / ("targets" if config.color == "rgb" else "masks")
    if not folder.is_dir():
        raise DataError(f"{as_text(root)}: no {folder.name}/ folder beside images/")
    if config.color == "rgb":
        targets = _by_id(list_files(folder), findings)
        _compare(images, targets, "mask_without_image", "targets without an image", findings)
        _compare(targets, images, "image_without_mask", "images without a target", findings)
        return [Case(name, path, {}, target=targets.get(name)) for name, path in images.items()], _COLOURS
    folders, files = list_folders(folder), list_files(folder)
    if folders and files:
        findings.add("layout", "", files[0].name, what="files beside the class folders in masks/")
    for lost in (path for place in (root / "images", *folders) for path in list_folders(place)):
        findings.add("layout", "", lost.relative_to(root).as_posix(), what="folders where only files are read")
    if folders:
        return _read_class_folders(images, {path.name: path for path in folders}, config, findings)
    if files and all(is_segmentation(path) for path in files):
        return _read_segmentations(images, files, config, findings)
    masks = _by_id(files, findings)
    _compare(images, masks, "mask_without_image", "masks without an image", findings)
    maps = find_label_maps(masks.values(), config)
    _unknown(maps.classes, maps.labels or maps.classes, findings)
    return [
        Case(name, path, maps.find_sources(name, masks[name], path, findings) if name in masks else {})
        for name, path in images.items()
    ], maps.classes


def read_manifest(path: Path, config: DataSetConfig, findings: Findings) -> Found:
    """Cases of a CSV with `image` and `mask` or `mask_<class>`..., optionally `patient` and `split`."""
    columns, rows = _read_rows(path, findings)
    mask_columns = {c.removeprefix("mask_"): c for c in columns if c.startswith("mask_")}
    if "image" not in columns or (
        "target" not in columns if config.color == "rgb" else ("mask" in columns) == bool(mask_columns)
    ):
        wanted = "'target'" if config.color == "rgb" else "either 'mask' or 'mask_<class>'..."
        raise DataError(
            f"{as_text(path)}: a manifest has commas between its columns and the columns 'image' and {wanted}; "
            f"found {columns}"
        )
    names = _unique_names([row["image"] for row in rows])
    files = [
        _existing(path, row["mask"], "masks", name, findings) if row.get("mask") and config.color != "rgb" else None
        for row, name in zip(rows, names, strict=True)
    ]
    maps = find_label_maps(filter(None, files), config)
    classes = (config.classes or tuple(sorted(mask_columns))) if mask_columns else maps.classes
    _unknown(classes, mask_columns or maps.labels or classes, findings)
    splits_given = any(row.get("split") for row in rows)
    cases = []
    for row, name, file in zip(rows, names, files, strict=True):
        image = _existing(path, row["image"], "images", name, findings)
        masks: dict[str, MaskSource] = {}
        for key, column in mask_columns.items():
            if key in classes and row[column]:
                own = _existing(path, row[column], "masks", name, findings)
                masks |= find_own_mask(name, own, image, key, config, findings)
        if file:
            masks = maps.find_sources(name, file, image, findings)
        split = row.get("split", "").lower() or None
        if splits_given and split not in _SPLITS:
            what = f"rows whose split is not one of {', '.join(_SPLITS)}"
            findings.add("manifest", name, f"{name}: {split or '(empty)'}", what=what)
        target = _existing(path, row["target"], "targets", name, findings) if config.color == "rgb" else None
        known = {"image", "mask", "target", "patient", "split", *mask_columns.values()}
        metadata = {key: value for key, value in row.items() if key not in known}
        patient = f"manifest\0{row['patient']}" if row.get("patient") else ""
        cases.append(Case(name, image, masks, patient, split, target, metadata))
    return cases, _COLOURS if config.color == "rgb" else classes


def read_dataset_json(path: Path, config: DataSetConfig, findings: Findings) -> Found:
    """Cases of nnU-Net's raw layout (`channel_names`, `file_ending`) or Decathlon's (`training` lists the files)."""
    if config.color == "rgb":
        raise DataError(f"{as_text(path)}: data.color=rgb learns pictures, of which a dataset.json knows nothing")
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        labels = _labels(described["labels"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{as_text(path)}: not a dataset.json of nnU-Net or Decathlon ({reason})") from error
    if isinstance(described.get("training"), list):
        pairs = [_decathlon_pair(path, item) for item in described["training"]]
    else:
        channels = described.get("channel_names", described.get("modality", {"0": ""}))
        if len(channels) != 1:
            raise DataError(f"{as_text(path)}: {len(channels)} channels; a radiograph has one")
        pairs = _nnunet_pairs(path.parent, str(described.get("file_ending", ".nii.gz")), findings)
    maps = find_label_maps([mask for _, _, mask in pairs], config, labels)
    _unknown(maps.classes, maps.labels, findings)
    cases = []
    for name, image, mask in pairs:
        for kind, file in (("images", image), ("masks", mask)):
            if not file.is_file():
                findings.add("missing_file", name, file.name, what=f"{kind} that are missing")
        cases.append(Case(name, image, maps.find_sources(name, mask, image, findings)))
    return cases, maps.classes


def _read_class_folders(
    images: Mapping[str, Path], folders: Mapping[str, Path], config: DataSetConfig, findings: Findings
) -> Found:
    classes = config.classes or tuple(sorted(folders))
    _unknown(classes, folders, findings)
    masks = {name: _by_id(list_files(folders[name]), findings) for name in classes if name in folders}
    for name, files in masks.items():
        _compare(images, files, "mask_without_image", f"masks of {name} without an image", findings)
    cases = []
    for key, path in images.items():
        sources: dict[str, MaskSource] = {}
        for name, files in masks.items():
            if key in files:
                sources |= find_own_mask(key, files[key], path, name, config, findings)
        cases.append(Case(key, path, sources))
    return cases, classes


def _read_segmentations(
    images: Mapping[str, Path], files: Sequence[Path], config: DataSetConfig, findings: Findings
) -> Found:
    """DICOM SEG objects, each matched to the image whose SOP instance it references."""
    by_uid = {uid: name for name, path in images.items() if (uid := _instance_uid(path))}
    masks: dict[str, dict[str, MaskSource]] = {name: {} for name in images}
    for file in files:
        try:
            segmentation = read_segmentation(file)
        except RadiographError as error:
            findings.add("unreadable", "", str(error), what="masks that cannot be read")
            continue
        named = [by_uid[uid] for uid in segmentation.source_uids if uid in by_uid]
        if not named:
            what = "DICOM SEG objects that reference no image of this data set"
            findings.add("mask_without_image", "", file.name, what=what)
        for name in named:
            for label in segmentation.masks:
                if (key := name_class(label)) in masks[name]:
                    what = "images with several masks of one class"
                    findings.add("layout", name, f"{name}: {key}", what=what)
                masks[name][key] = MaskSource(file, segment=label)
    found = sorted({label for sources in masks.values() for label in sources})
    classes = config.classes or tuple(found)
    _unknown(classes, found, findings)
    return [
        Case(name, path, {c: masks[name][c] for c in classes if c in masks[name]}) for name, path in images.items()
    ], classes


def _instance_uid(path: Path) -> str | None:
    """The SOP instance UID of a DICOM file; None for any other, and for one that cannot be read."""
    try:
        with open_source(path) as file:
            if identify(file, path) != "dicom":
                return None
            return uid(read_dataset(file, ("SOPInstanceUID",), pixels=False), "SOPInstanceUID")
    except RadiographError:
        return None


def _labels(described: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Class -> values, of nnU-Net's {"lung": 1} or {"region": [1, 2]} and of Decathlon's {"1": "lung"}."""
    labels: dict[str, tuple[int, ...]] = {}
    for key, value in described.items():
        name, number = (value, key) if isinstance(value, str) and str(key).isdigit() else (key, value)
        values = tuple(int(v) for v in number) if isinstance(number, list) else (int(number),)
        if name.lower() not in ("background", "ignore") and values != (0,):
            labels[name_class(name)] = values
    if not labels:
        raise ValueError("no labels but the background")
    return labels


def _decathlon_pair(path: Path, item: Mapping[str, str]) -> tuple[str, Path, Path]:
    try:
        image, mask = path.parent / item["image"], path.parent / item["label"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{as_text(path)}: an entry of 'training' lacks 'image' or 'label'") from error
    return case_id(image), image, mask


def _nnunet_pairs(folder: Path, ending: str, findings: Findings) -> list[tuple[str, Path, Path]]:
    images = [path for path in _list(folder / "imagesTr") if path.name.endswith(f"_0000{ending}")]
    names = {path.name.removesuffix(f"_0000{ending}"): path for path in images}
    labels = {p.name.removesuffix(ending): p for p in _list(folder / "labelsTr") if p.name.endswith(ending)}
    _compare(names, labels, "mask_without_image", "masks without an image", findings)
    return [(name, path, folder / "labelsTr" / f"{name}{ending}") for name, path in names.items()]


def _read_rows(path: Path, findings: Findings) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of a CSV file and its rows but for the empty ones, every value stripped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            columns = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, [value.strip() for value in line]) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{as_text(path)}: not a CSV file in UTF-8: {error}") from error
    if len(set(columns)) < len(columns):
        raise DataError(f"{as_text(path)}: two columns have one name; found {columns}")
    for number, line in lines:
        if any(line) and len(line) != len(columns):
            what = f"lines that have not {len(columns)} values"
            findings.add("manifest", "", f"line {number}: {len(line)}", what=what)
    return columns, [dict(zip_longest(columns, line[: len(columns)], fillvalue="")) for _, line in lines if any(line)]


def _list(folder: Path) -> list[Path]:
    return list_files(folder) if folder.is_dir() else []


def _by_id(files: Iterable[Path], findings: Findings) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        if (name := case_id(path)) in found:
            both = f"{found[name].name}, {path.name}"
            findings.add("layout", name, both, what="files that differ in their extension alone")
        found[name] = path
    return found


def _compare(files: Mapping[str, Path], others: Mapping[str, Path], code: str, what: str, findings: Findings) -> None:
    """Note each of `others` that none of `files` belongs to."""
    for name in sorted(others.keys() - files.keys()):
        findings.add(code, name, others[name].name, what=what)


def _unknown(classes: Sequence[str], known: Iterable[str], findings: Findings) -> None:
    listed = sorted(known)
    for name in classes:
        if name not in listed:
            what = f"unknown classes; there are {', '.join(listed) or 'none'}"
            findings.add("class_name", "", name, what=what)


def _existing(manifest: Path, name: str, kind: str, case: str, findings: Findings) -> Path:
    path = manifest.parent / name
    if not path.is_file():
        findings.add("missing_file", case, name or "(empty)", what=f"{kind} that are missing")
    return path


def _unique_names(images: Sequence[str]) -> list[str]:
    """The files' names without extension where these are unique, else with the folders that tell them apart."""
    names = [case_id(Path(image)) for image in images]
    if len(set(names)) == len(names):
        return names
    paths = [Path(os.path.abspath(image)) for image in images]  # noqa: PTH100
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    return ["_".join([*path.relative_to(shared).parts[:-1], case_id(path)]) for path in paths]
