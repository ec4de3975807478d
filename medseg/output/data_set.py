"""A data set written again: images as PNG files, with masks in folders or with an annotation file."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.annotations import FORMATS, AnnotatedImage, Shape, outline
from medseg.atomic import open_atomically, write_text
from medseg.data.case import Case, CaseSet
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.threads import map_in_threads
from medseg.data.transforms import apply_transforms, as_item, build_loading
from medseg.errors import RadiographError
from medseg.output.images import write_mask_png

FOLDER = "folder"
"""The layout of this project: images/ with masks/<class>/."""
_DEEP = 65535


@dataclass
class Written:
    """What was written, and what a person should know of it."""

    annotated: list[AnnotatedImage] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)
    """Cases whose values are not whole numbers that 16 bits can hold."""
    burned_in: list[str] = field(default_factory=list)
    """Cases whose pixels may show text: DICOM images in which BurnedInAnnotation is not NO."""
    incomplete: list[str] = field(default_factory=list)
    """Cases without a mask of some class."""
    ignored: list[str] = field(default_factory=list)
    """Cases with ignored pixels, which no written format has."""


def write_data_set(folder: Path, found: CaseSet, data: DataSetConfig, format: str, findings: Findings) -> Written:
    """Write the images of all cases into images/ and their masks in `format`: `FOLDER`, or a key of `FORMATS`.

    The files have the ids of the cases as names, and hold no tags of DICOM files. If a case cannot be read, this is
    noted in `findings`, and nothing is left of what was written. Raises `StorageError`.
    """
    written = Written()
    loading = build_loading(data, found.classes)

    def convert(case: Case) -> tuple[AnnotatedImage, dict[str, bool]] | RadiographError:
        try:
            item = apply_transforms(loading, as_item(case))
        except RadiographError as error:
            return error
        return _write_case(folder, case, item, found.classes, format)

    for case, done in zip(found.cases, map_in_threads(convert, found.cases), strict=True):
        if isinstance(done, RadiographError):
            findings.add_error(case.id, done)
            continue
        image, remarks = done
        written.annotated.append(image)
        for name, applies in remarks.items():
            if applies:
                getattr(written, name).append(case.id)
    if len(written.annotated) < len(found.cases):
        for name in ("images", "masks"):
            shutil.rmtree(folder / name, ignore_errors=True)
    elif format == FOLDER:
        _write_manifest(folder, found.cases, found.classes)
    else:
        drawn = FORMATS[format]
        drawn.write(folder / "images" if drawn.beside_images else folder, written.annotated, found.classes)
    return written


def encode_image(pixels: NDArray[np.float32]) -> tuple[NDArray[np.uint8 | np.uint16], bool]:
    """Return an image as whole numbers of 8 or 16 bits, and whether they had to be rounded.

    Whole numbers from 0 to 65535 keep their ratios: they are multiplied by the greatest power of two that fits, so that
    viewers show them bright and the network sees the same bits. Other values are spread over 16 bits.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= _DEEP and (pixels == np.rint(pixels)).all():
        if high <= 255:
            return pixels.astype(np.uint8), False
        return (pixels * 2.0 ** np.floor(np.log2(_DEEP / high))).astype(np.uint16), False
    scaled = (pixels.astype(np.float64) - low) * (_DEEP / (high - low))
    return np.rint(scaled).astype(np.uint16), True


def _write_case(
    folder: Path, case: Case, item: Mapping[str, Any], classes: Sequence[str], format: str
) -> tuple[AnnotatedImage, dict[str, bool]]:
    image, masks = item["image"], item["mask"].numpy().astype(np.bool_)
    encoded, rounded = encode_image(image.as_tensor().numpy()[0])
    name = f"{case.id}.png"
    _write_png(folder / "images" / name, encoded)
    present = dict(zip(classes, item["present"].tolist(), strict=True))
    known = {label: mask for label, mask in zip(classes, masks, strict=True) if present[label]}
    shapes: list[Shape] = []
    for label, mask in known.items():
        if format == FOLDER:
            path = folder / "masks" / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mask_png(path, mask)
        else:
            shapes += outline(label, mask)
    size = masks.shape[-2], masks.shape[-1]
    remarks = {
        "rounded": rounded,
        "burned_in": image.meta["kind"] == "dicom" and image.meta["burned_in"] is not False,
        "incomplete": len(known) < len(classes),
        "ignored": "ignored" in item,
    }
    return AnnotatedImage(name, size, tuple(shapes), split=case.split, made_by=case.made_by), remarks


def _write_png(path: Path, pixels: NDArray[np.uint8 | np.uint16]) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomically(path) as target:
        target.write(file.getvalue())


def _write_manifest(folder: Path, cases: Sequence[Case], classes: Sequence[str]) -> None:
    """Write `cases.csv` with the files of each case, its patient as a number, and its split, if it has one."""
    numbers = {
        patient: f"p{number:03d}" for number, patient in enumerate(dict.fromkeys(case.patient for case in cases), 1)
    }
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    has_splits = any(case.split for case in cases)
    table.writerow(("image", *(f"mask_{label}" for label in classes), "patient", *["split"] * has_splits))
    for case in cases:
        masks = (f"masks/{label}/{case.id}.png" if label in case.masks else "" for label in classes)
        row = f"images/{case.id}.png", *masks, numbers[case.patient], *[case.split] * has_splits
        table.writerow(row)
    write_text(folder / "cases.csv", text.getvalue())
