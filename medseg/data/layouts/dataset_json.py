"""Cases from the dataset.json of nnU-Net or Decathlon, and checks that all layouts share."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.annotations.shape import name_class, strip_extension
from medseg.data.case import Case, as_text, case_id, find_file, list_files
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.label_maps import find_label_maps
from medseg.errors import DataError

Found = tuple[list[Case], tuple[str, ...]]
COLORS = ("red", "green", "blue")


def read_dataset_json(path: Path, config: DataSetConfig, findings: Findings) -> Found:
    """Return the cases of nnU-Net's raw layout (`channel_names`, `file_ending`) or Decathlon's (`training`)."""
    if config.color == "rgb":
        raise DataError(
            f"{as_text(path)}: data.color=rgb needs RGB targets, but a dataset.json cannot list targets. Use a folder "
            "with targets/, or a manifest with a 'target' column."
        )
    try:
        described = json.loads(path.read_text(encoding="utf-8-sig"))
        labels, ignored = _labels(described["labels"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{as_text(path)}: not a dataset.json of nnU-Net or Decathlon ({reason})") from error
    if isinstance(described.get("training"), list):
        pairs = [_decathlon_pair(path, item) for item in described["training"]]
    else:
        channels = described.get("channel_names", described.get("modality", {"0": ""}))
        if len(channels) != 1:
            raise DataError(f"{as_text(path)}: {len(channels)} channels, but a radiograph has one channel")
        pairs = _nnunet_pairs(path.parent, str(described.get("file_ending", ".nii.gz")), findings)
    maps = find_label_maps([mask for _, _, mask in pairs], config, labels, ignored)
    note_unknown(maps.classes, maps.labels, findings)
    cases = []
    for name, image, mask in pairs:
        for kind, file in (("images", image), ("masks", mask)):
            if not file.is_file():
                findings.add("missing_file", name, file.name, what=f"missing {kind}")
        cases.append(Case(name, image, maps.find_sources(name, mask, image, findings)))
    return cases, maps.classes


def _labels(described: Mapping[str, Any]) -> tuple[dict[str, tuple[int, ...]], int | None]:
    """Return class -> values from nnU-Net's {"lung": 1} or {"region": [1, 2]}, or from Decathlon's {"1": "lung"}.

    The second result is the value of nnU-Net's label `ignore` (pixels without a reference), or None.
    """
    labels: dict[str, tuple[int, ...]] = {}
    ignored = None
    for key, value in described.items():
        name, number = (value, key) if isinstance(value, str) and str(key).isdigit() else (key, value)
        values = tuple(int(v) for v in number) if isinstance(number, list) else (int(number),)
        if name.lower() == "ignore":
            (ignored,) = values
        elif name.lower() != "background" and values != (0,):
            labels[name_class(name)] = values
    if not labels:
        raise ValueError("no label besides the background")
    return labels, ignored


def _decathlon_pair(path: Path, item: Mapping[str, str]) -> tuple[str, Path, Path]:
    try:
        image, mask = find_file(path.parent, item["image"]), find_file(path.parent, item["label"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{as_text(path)}: an entry of 'training' lacks 'image' or 'label'") from error
    name = case_id(image)
    if not image.is_file():  # nnU-Net 1 lists the image without the number of its channel
        stem = strip_extension(image.name)
        numbered = find_file(image.parent, f"{stem}_0000{image.name[len(stem) :]}")
        image = numbered if numbered.is_file() else image
    return name, image, mask


def _nnunet_pairs(folder: Path, ending: str, findings: Findings) -> list[tuple[str, Path, Path]]:
    images = _list_ending(folder / "imagesTr", f"_0000{ending}", findings)
    masks = _list_ending(folder / "labelsTr", ending, findings)
    note_unmatched(images, masks, "mask_without_image", "masks without an image", findings)
    missing = folder / "labelsTr"
    return [(name, path, masks.get(name, missing / f"{name}{ending}")) for name, path in images.items()]


def _list_ending(folder: Path, ending: str, findings: Findings) -> dict[str, Path]:
    """Return the files whose names end in `ending` (upper or lower case), by the rest of their names.

    Two files with the same name are noted as a finding.
    """
    files = list_files(folder) if folder.is_dir() else []
    found: dict[str, Path] = {}
    for path in (path for path in files if path.name.lower().endswith(ending.lower())):
        name = unicodedata.normalize("NFC", as_text(path.name[: len(path.name) - len(ending)]))
        if name in found:
            findings.add("layout", name, f"{found[name].name}, {path.name}", what="files whose names look the same")
        found[name] = path
    return found


def note_unmatched(
    files: Mapping[str, Path], others: Mapping[str, Path], code: str, what: str, findings: Findings
) -> None:
    """Note a finding for each name in `others` that is not in `files`."""
    for name in sorted(others.keys() - files.keys()):
        findings.add(code, name, others[name].name, what=what)


def note_unknown(classes: Sequence[str], known: Iterable[str], findings: Findings) -> None:
    """Note a finding for each name in `classes` that is not in `known`."""
    listed = sorted(known)
    for name in classes:
        if name not in listed:
            what = f"unknown classes; this data set has {', '.join(listed) or 'none'}"
            findings.add("class_name", "", name, what=what)
