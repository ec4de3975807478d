"""Cases from a CSV manifest with one row per image, as saved by spreadsheet programs in any country."""

import csv
import os
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from medseg.data.case import SPLITS, Case, MaskSource, as_text, case_id, find_file
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.dataset_json import COLORS, Found, note_unknown
from medseg.data.layouts.label_maps import find_label_maps, find_own_mask
from medseg.errors import DataError

GIVEN = "manifest"
"""What stands for the issuer in the key of a patient whom the manifest names."""
_COLUMNS = ("image", "mask", "target", "patient", "split")
_NOTHING = re.compile(r"<?(nan|nat|none|null|na|#?n/a)>?", re.IGNORECASE)
"""Cell texts that mean "no value"."""
_EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""Line before the header that tells Excel the delimiter."""


def read_manifest(path: Path, config: DataSetConfig, findings: Findings) -> Found:
    """Return the cases of a CSV with `image`, `mask` or `mask_<class>`..., and optionally `patient` and `split`."""
    columns, rows = _read_rows(path, findings)
    mask_columns = {c.removeprefix("mask_"): c for c in columns if c.startswith("mask_")}
    if "image" not in columns or (
        "target" not in columns if config.color == "rgb" else ("mask" in columns) == bool(mask_columns)
    ):
        wanted = "'target'" if config.color == "rgb" else "either 'mask' or 'mask_<class>' for each class"
        raise DataError(
            f"{as_text(path)}: found the columns {columns}. A manifest needs 'image' and {wanted}, separated by "
            "commas, semicolons or tabs"
        )
    images = [find_file(path.parent, row["image"]) for row in rows]
    names = _unique_names(images)
    has_maps = "mask" in columns and config.color != "rgb"
    files = [
        _existing(path, row["mask"], "masks", name, findings) if has_maps and row["mask"] else None
        for row, name in zip(rows, names, strict=True)
    ]
    maps = find_label_maps(filter(None, files), config)
    classes = (config.classes or tuple(sorted(mask_columns))) if mask_columns else maps.classes
    note_unknown(classes, mask_columns or maps.labels or classes, findings)
    splits_given = any(row.get("split") for row in rows)
    cases = []
    for row, image, name, file in zip(rows, images, names, files, strict=True):
        _check_exists(image, row["image"], "images", name, findings)
        masks: dict[str, MaskSource] = {} if file is None else maps.find_sources(name, file, image, findings)
        for key, column in mask_columns.items():
            if key in classes and row[column]:
                own = _existing(path, row[column], "masks", name, findings)
                masks |= find_own_mask(name, own, image, key, config, findings)
        split = row.get("split", "").lower()
        if splits_given and split not in SPLITS:
            what = f"rows with an unknown split; use {', '.join(dict.fromkeys(SPLITS.values()))}"
            findings.add("manifest", name, f"{name}: {split or '(empty)'}", what=what)
        target = _existing(path, row["target"], "targets", name, findings) if config.color == "rgb" else None
        metadata = {key: value for key, value in row.items() if key not in (*_COLUMNS, *mask_columns.values())}
        patient = f"{GIVEN}\0{row['patient']}" if row.get("patient") else ""
        cases.append(Case(name, image, masks, patient, SPLITS.get(split, split) or None, target, metadata=metadata))
    return cases, COLORS if config.color == "rgb" else classes


def is_manifest(path: Path) -> bool:
    """Return whether a file is a CSV whose columns name images and masks, or images and targets."""
    try:
        with path.open(newline="", encoding=_detect_encoding(path)) as file:
            _, _, columns = _read_header(file)
    except (UnicodeError, csv.Error):
        return False
    return "image" in columns and any(name in ("mask", "target") or name.startswith("mask_") for name in columns)


def _read_rows(path: Path, findings: Findings) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a CSV file and its non-empty rows; all values are stripped.

    Raises `DataError` if the file is not a CSV file.
    """
    try:
        with path.open(newline="", encoding=_detect_encoding(path)) as file:
            before, reader, columns = _read_header(file)
            lines = [(before + reader.line_num, [value.strip() for value in line]) for line in reader]
    except (UnicodeError, csv.Error) as error:
        raise DataError(
            f"{as_text(path)}: not a CSV file in UTF-8 ({error}). Save the manifest as CSV UTF-8."
        ) from error
    if len(set(columns)) < len(columns):
        raise DataError(f"{as_text(path)}: found the columns {columns}. Each column needs its own name")
    for number, line in lines:
        if any(line) and (len(line) < len(columns) or any(line[len(columns) :])):
            what = f"lines without exactly {len(columns)} values"
            findings.add("manifest", "", f"line {number}: {len(line)} values", what=what)
    rows = [dict(zip_longest(columns, line[: len(columns)], fillvalue="")) for _, line in lines if any(line)]
    empty = [name for name in columns if name in _COLUMNS or name.startswith("mask_")]
    for row in rows:
        row.update({name: "" for name in empty if _NOTHING.fullmatch(row[name])})
    return columns, rows


def _detect_encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    if start in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "utf-16"
    zero = start.find(b"\0")  # UTF-16 without byte order mark: one byte of an ASCII letter is 0
    return {0: "utf-16-be", 1: "utf-16-le"}.get(zero, "utf-8-sig")


def _read_header(file: TextIO) -> tuple[int, Any, list[str]]:
    """Return the number of lines before the header, the CSV reader behind it, and the columns."""
    before, delimiter = _skip_to_header(file)
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
    return before, reader, _name_columns(next(reader, []))


def _skip_to_header(file: TextIO) -> tuple[int, str]:
    """Move `file` to the header line; return the number of lines before it and the delimiter.

    The delimiter is the tab, semicolon or comma that gives a column `image`; if none does, the comma.
    """
    start, number, line = 0, 0, file.readline()
    while line and (not line.strip() or _EXCEL.fullmatch(line)):
        start, number, line = file.tell(), number + 1, file.readline()
    found = ","
    for delimiter in "\t;,":
        file.seek(start)
        if "image" in _name_columns(next(csv.reader(file, delimiter=delimiter, skipinitialspace=True), [])):
            found = delimiter
    file.seek(start)
    return number, found


def _name_columns(header: Sequence[str]) -> list[str]:
    """Return the column names, known names in lower case, without empty columns at the end."""
    names = [name.strip() for name in header]
    while names and not names[-1]:
        names.pop()
    names = [name.lower() if name.lower() in _COLUMNS else name for name in names]
    return [f"mask_{name[5:]}" if name.lower().startswith("mask_") else name for name in names]


def _existing(manifest: Path, name: str, kind: str, case: str, findings: Findings) -> Path:
    path = find_file(manifest.parent, name)
    _check_exists(path, name, kind, case, findings)
    return path


def _check_exists(path: Path, name: str, kind: str, case: str, findings: Findings) -> None:
    if not path.is_file():
        findings.add("missing_file", case, name or "(empty)", what=f"missing {kind}")


def _unique_names(images: Sequence[Path]) -> list[str]:
    """Return the file names without extension; if these are not unique, with the folders that distinguish them."""
    names = [case_id(image) for image in images]
    if len(set(names)) == len(names):
        return names
    paths = [Path(os.path.abspath(image)) for image in images]  # noqa: PTH100
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    return ["_".join([*path.relative_to(shared).parts[:-1], case_id(path)]) for path in paths]
