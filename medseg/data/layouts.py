"""What the layouts of a data set share: classes, label maps, names; and nnU-Net's and Decathlon's dataset.json."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.data.case import Case, MaskSource, as_text, case_id, find_file, list_files
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.errors import DataError

Found = tuple[list[Case], tuple[str, ...]]
COLORS = ("red", "green", "blue")


def read_dataset_json(path: Path, config: DataSetConfig, findings: Findings) -> Found:
    """Cases of nnU-Net's raw layout (`channel_names`, `file_ending`) or Decathlon's (`training` lists the files)."""
    if config.color == "rgb":
        raise DataError(f"{as_text(path)}: data.color=rgb learns pictures, of which a dataset.json knows nothing")
    try:
        described = json.loads(path.read_text(encoding="utf-8-sig"))
        labels = _labels(described["labels"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{as_text(path)}: not a dataset.json of nnU-Net or Decathlon ({reason})") from error
    classes = config.classes or tuple(labels)
    known = tuple(sorted({value for values in labels.values() for value in values}))
    note_unknown(classes, labels, findings)
    if isinstance(described.get("training"), list):
        pairs = [_decathlon_pair(path, item) for item in described["training"]]
    else:
        channels = described.get("channel_names", described.get("modality", {"0": ""}))
        if len(channels) != 1:
            raise DataError(f"{as_text(path)}: {len(channels)} channels; a radiograph has one")
        pairs = _nnunet_pairs(path.parent, str(described.get("file_ending", ".nii.gz")), findings)
    cases = []
    for name, image, mask in pairs:
        for kind, file in (("images", image), ("masks", mask)):
            if not file.is_file():
                findings.add("missing_file", name, file.name, what=f"{kind} that are missing")
        cases.append(Case(name, image, {c: MaskSource(mask, labels[c], known) for c in classes if c in labels}))
    return cases, classes


def label_map(path: Path, classes: Sequence[str]) -> dict[str, MaskSource]:
    """Value i is the i-th class; a single class is whatever is not background."""
    if len(classes) == 1:
        return {classes[0]: MaskSource(path)}
    values = tuple(range(1, len(classes) + 1))
    return {name: MaskSource(path, (value,), values) for name, value in zip(classes, values, strict=True)}


def _labels(described: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Class -> values, of nnU-Net's {"lung": 1} or {"region": [1, 2]} and of Decathlon's {"1": "lung"}."""
    labels: dict[str, tuple[int, ...]] = {}
    for key, value in described.items():
        name, number = (value, key) if isinstance(value, str) and str(key).isdigit() else (key, value)
        values = tuple(int(v) for v in number) if isinstance(number, list) else (int(number),)
        if name.lower() not in ("background", "ignore") and values != (0,):
            labels[class_name(name)] = values
    if not labels:
        raise ValueError("no labels but the background")
    return labels


def _decathlon_pair(path: Path, item: Mapping[str, str]) -> tuple[str, Path, Path]:
    try:
        image, mask = find_file(path.parent, item["image"]), find_file(path.parent, item["label"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{as_text(path)}: an entry of 'training' lacks 'image' or 'label'") from error
    return case_id(image), image, mask


def _nnunet_pairs(folder: Path, ending: str, findings: Findings) -> list[tuple[str, Path, Path]]:
    images = _list_ending(folder / "imagesTr", f"_0000{ending}", findings)
    masks = _list_ending(folder / "labelsTr", ending, findings)
    note_unmatched(images, masks, "mask_without_image", "masks without an image", findings)
    missing = folder / "labelsTr"
    return [(name, path, masks.get(name, missing / f"{name}{ending}")) for name, path in images.items()]


def _list_ending(folder: Path, ending: str, findings: Findings) -> dict[str, Path]:
    """The files whose names end in `ending`, in any case, by what stands before it. Notes two of one name."""
    files = list_files(folder) if folder.is_dir() else []
    found: dict[str, Path] = {}
    for path in (path for path in files if path.name.lower().endswith(ending.lower())):
        name = unicodedata.normalize("NFC", as_text(path.name[: len(path.name) - len(ending)]))
        if name in found:
            findings.add("layout", name, f"{found[name].name}, {path.name}", what="files whose names look the same")
        found[name] = path
    return found


def class_name(label: str) -> str:
    """The name of the class that a label of free text stands for."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", label.strip()).strip("_")[:32]


def note_unmatched(
    files: Mapping[str, Path], others: Mapping[str, Path], code: str, what: str, findings: Findings
) -> None:
    """Note each of `others` that none of `files` belongs to."""
    for name in sorted(others.keys() - files.keys()):
        findings.add(code, name, others[name].name, what=what)


def note_unknown(classes: Sequence[str], known: Iterable[str], findings: Findings) -> None:
    """Note each of `classes` that is not `known`."""
    listed = sorted(known)
    for name in classes:
        if name not in listed:
            what = f"unknown classes; there are {', '.join(listed) or 'none'}"
            findings.add("class_name", "", name, what=what)
