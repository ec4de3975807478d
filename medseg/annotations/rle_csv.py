"""Run lengths in CSV files: Kaggle's ImageId and EncodedPixels, SIIM-ACR's relative variant, and CheXmask.

Kaggle: pairs of start and length along columns; the first pixel is 1. SIIM-ACR (its `mask_functions.py`): along
columns; a start counts from the end of the run before, the first pixel is 0; ` -1` is an empty mask. CheXmask
(`get_mask_from_RLE` in DataPostprocessing/utils.py of github.com/ngaggion/CheXmask-Database): along rows; the first
pixel is 1; one column for each organ, and Height and Width.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.annotations.document import Table
from medseg.annotations.mark import find_size, prepare, sign, verify
from medseg.annotations.raster import draw_shape
from medseg.annotations.runs import encode
from medseg.annotations.shape import UNNAMED, AnnotatedImage, Draft, Runs, Shape, Size, clean, clean_path
from medseg.errors import RadiographError

FILE = "rle.csv"
_ORGANS = ("Left Lung", "Right Lung", "Heart")
_IMAGE = ("imageid", "image_id", "image index", "dicom_id", "path", "image", "filename", "id")
_LABEL = ("classid", "class", "label", "class_id", "classname")
_EMPTY = ("", "-1")

Row = Mapping[str, str]


def is_rle_csv(content: Any) -> bool:
    """Return whether a CSV file has a column EncodedPixels."""
    return isinstance(content, Table) and "encodedpixels" in map(str.lower, content.columns)


def is_chexmask(content: Any) -> bool:
    """Return whether a CSV file has the columns of CheXmask: a size, and all its organs."""
    return isinstance(content, Table) and {"Height", "Width", *_ORGANS} <= set(content.columns)


def read_rle_csv(content: Table, draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images of a file with one row for each mask. Without Height and Width, images have no size.

    The file is of SIIM-ACR's variant if any of its starts does not come after the end of the run before.
    """
    columns = [name.lower() for name in content.columns]
    rows: list[Row] = [dict(zip(columns, row, strict=False)) for row in content.rows]
    key, named = _column(columns, _IMAGE, columns[0]), _column(columns, _LABEL, "")
    found: dict[str, list[tuple[str, Row, NDArray[np.int64]]]] = {}
    for row in rows:
        name, label = clean_path(row[key]), clean(row.get(named, "")) or UNNAMED
        with draft.reading(name, label):
            found.setdefault(name, []).append((label, row, _pairs(row.get("encodedpixels", ""))))
    labels = dict.fromkeys(label for entries in found.values() for label, *_ in entries)
    draft.declare(*labels)
    relative = any((np.diff(pairs[:, 0]) < pairs[:-1, 1]).any() for entries in found.values() for *_, pairs in entries)
    for name, entries in found.items():
        size, marks = None, [row.get("madeby") for _, row, _ in entries]
        shapes = []
        for label, row, pairs in entries:
            with draft.reading(name, label):
                size = _size(row, "height", "width") or size
                if len(pairs):
                    shapes.append(
                        Shape(label, runs=Runs(_absolute(pairs, relative), "columns", (0, 0, *size) if size else None))
                    )
        yield verify(AnnotatedImage(name, size, tuple(shapes)), marks)


def read_chexmask(content: Table, draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images of CheXmask, one row each."""
    columns = {name.lower(): name for name in content.columns}
    key = columns[_column(list(columns), _IMAGE, content.columns[0].lower())]
    organs = [organ for organ in _ORGANS if organ in content.columns]
    draft.declare(*organs)
    for cells in content.rows:
        row: Row = dict(zip(content.columns, cells, strict=False))
        name, shapes, size = clean_path(row.get(key, "")), [], None
        for organ in organs:
            with draft.reading(name, organ):
                size = _size(row, "Height", "Width")
                if size is None:
                    raise RadiographError("has no Height or Width", "size")
                pairs = _absolute(_pairs(row.get(organ, "")), False)
                shapes.append(Shape(organ, runs=Runs(pairs, "rows", (0, 0, *size))))
        yield AnnotatedImage(name, size, tuple(shapes))


def _column(columns: Sequence[str], wanted: Sequence[str], default: str) -> str:
    return next((name for name in wanted if name in columns), default)


def _size(row: Row, rows: str, columns: str) -> Size | None:
    return (int(float(row[rows])), int(float(row[columns]))) if row.get(rows) and row.get(columns) else None


def _pairs(text: str) -> NDArray[np.int64]:
    if text in _EMPTY:
        return np.zeros((0, 2), np.int64)
    numbers = np.array(text.split(), np.int64)
    if len(numbers) % 2 or (numbers < 0).any():
        raise RadiographError(
            f"has {len(numbers)} run-length numbers; pairs of start and length, none negative, are needed"
        )
    return numbers.reshape(-1, 2)


def _absolute(pairs: NDArray[np.int64], relative: bool) -> NDArray[np.int64]:
    """Return pairs whose starts count from 0 at the first pixel."""
    starts, lengths = pairs.T
    return np.stack([np.cumsum(starts + lengths) - lengths if relative else starts - 1, lengths], 1)


def dump_rle_csv(images: Sequence[AnnotatedImage], labels: Sequence[str]) -> dict[str, str]:
    """Return `rle.csv` as Kaggle's, a row for each image and label, also empty ones; with Height, Width and MadeBy."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("ImageId", "ClassId", "EncodedPixels", "Height", "Width", "MadeBy"))
    for image in prepare(images, masks=True):
        masks = {label: np.zeros(find_size(image), np.bool_) for label in labels}
        for shape in image.shapes:
            draw_shape(masks[shape.label], shape)
        drawn = tuple(Shape(label, runs=encode(mask)) for label, mask in masks.items() if mask.any())
        mark = sign(AnnotatedImage(image.name, image.size, drawn, made_by=image.made_by)) or ""
        for label, mask in masks.items():
            pairs = encode(mask, "columns", whole=True).pairs + np.array([1, 0])
            writer.writerow((image.name, label, " ".join(map(str, pairs.ravel())) or "-1", *mask.shape, mark))
    return {FILE: file.getvalue()}
