"""A data set written again: images as PNG files, with masks in folders or with an annotation file."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.annotations import FORMATS, AnnotatedImage, Shape, outline
from medseg.atomic import write_text
from medseg.checks.levels import FileLevels, check_levels
from medseg.data.case import Case, CaseSet
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.masks import ReadMask, resize_masks
from medseg.data.threads import map_in_threads
from medseg.data.transforms import apply_transforms, as_item, build_loading
from medseg.errors import RadiographError
from medseg.output.drawing import write_png
from medseg.output.images import write_mask_png

FOLDER = "folder"
"""The layout of this project: images/ with masks/<class>/."""
_DEEP = 65535


MAY_SHOW_TEXT = (
    "BurnedInAnnotation is YES or absent, so the pixels may show a patient's name. Look at the PNG files before you "
    "pass them on"
)
ROUNDED = "pixel values are not whole numbers from 0 to 65535, so they were scaled to 16 bits"
IGNORED = "ignored pixels have become background"
UNKNOWN = "some classes have no mask. Annotation files cannot say 'unknown', so these classes now count as absent"
RESIZED = "masks were resized to the size of their images"
PADDED = "padding has become black, which may change a little what a network sees"
SPLIT = "their splits are not written in this format; output.format=folder has them"


@dataclass(frozen=True)
class Written:
    """One case as it was written."""

    image: AnnotatedImage
    remarks: tuple[str, ...]
    """What a person should know of it: some of the sentences above."""


def write_data_set(folder: Path, found: CaseSet, data: DataSetConfig, format: str, findings: Findings) -> list[Written]:
    """Write the images of all cases into images/ and their masks in `format`: `FOLDER`, or a key of `FORMATS`.

    The files have the ids of the cases as names, with `_` for a backslash, and hold no tags of DICOM files. If a case
    cannot be read, or the values of masks have no clear meaning, this is noted in `findings`, and nothing is left of
    what was written. Raises `StorageError`.
    """
    written: list[Written] = []
    levels: list[FileLevels] = []
    loading, names = build_loading(data, found.classes), _name_files(found.cases, format)

    def convert(case: Case) -> tuple[Written, dict[str, ReadMask]] | RadiographError:
        try:
            item = apply_transforms(loading, as_item(case))
        except RadiographError as error:
            return error
        return _write_case(folder, case, names[case.id], item, found.classes, format), item["mask_files"]

    for case, done in zip(found.cases, map_in_threads(convert, found.cases), strict=True):
        if isinstance(done, RadiographError):
            findings.add_error(case.id, done)
        else:
            written.append(done[0])
            levels += [(case.id, label, each) for label, read in done[1].items() for each in read.levels]
    check_levels(levels, found.classes, findings)
    if any(finding.severity == "error" for finding in findings.listed()):
        for name in ("images", "masks"):
            shutil.rmtree(folder / name, ignore_errors=True)
    elif format == FOLDER:
        _write_manifest(folder, found.cases, found.classes)
    else:
        drawn = FORMATS[format]
        images = [each.image for each in written]
        drawn.write(folder / "images" if drawn.beside_images else folder, images, found.classes)
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


def _name_files(cases: Sequence[Case], format: str) -> dict[str, str]:
    """The file name of each case's image; readers of annotation files take a backslash for a folder."""
    names: dict[str, str] = {}  # name -> case
    for case in cases:
        name = case.id if format == FOLDER else case.id.replace("\\", "_")
        while name in names:
            name += "_"
        names[name] = case.id
    return {case: f"{name}.png" for name, case in names.items()}


def _write_case(
    folder: Path, case: Case, name: str, item: Mapping[str, Any], classes: Sequence[str], format: str
) -> Written:
    image, masks, present = item["image"], item["mask"].numpy().astype(np.bool_), item["present"].tolist()
    pixels, padding, is_folder = image.as_tensor().numpy()[0], image.meta["padding"], format == FOLDER
    is_resized = masks.shape[1:] != pixels.shape and not is_folder
    if is_resized:
        masks = resize_masks(masks, pixels.shape)
    if padding is not None:
        pixels = np.where(padding, pixels[~padding].min(), pixels)
    encoded, is_rounded = encode_image(pixels)
    write_png(folder / "images" / name, encoded)
    shapes: list[Shape] = []
    for label, mask, is_known in zip(classes, masks, present, strict=True):
        if is_known and is_folder:
            write_mask_png(folder / "masks" / label / name, mask)
        elif is_known:
            shapes += outline(label, mask)
    remarks = {
        MAY_SHOW_TEXT: image.meta["kind"] == "dicom" and image.meta["burned_in"] is not False,
        ROUNDED: is_rounded,
        IGNORED: "ignored" in item,
        UNKNOWN: not all(present) and not is_folder,
        RESIZED: is_resized,
        PADDED: padding is not None,
        SPLIT: case.split and not is_folder,
    }
    drawn = AnnotatedImage(name, masks.shape[1:], tuple(shapes), made_by=case.made_by)
    return Written(drawn, tuple(remark for remark, applies in remarks.items() if applies))


def _write_manifest(folder: Path, cases: Sequence[Case], classes: Sequence[str]) -> None:
    """Write `cases.csv` with the files of each case, its patient as a number, and its split, if it has one."""
    patients = dict.fromkeys(case.patient for case in cases)
    numbers = {patient: f"p{number:03d}" for number, patient in enumerate(patients, 1)}
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    has_splits = any(case.split for case in cases)
    table.writerow(("image", *(f"mask_{label}" for label in classes), "patient", *["split"] * has_splits))
    for case in cases:
        masks = (f"masks/{label}/{case.id}.png" if label in case.masks else "" for label in classes)
        row = f"images/{case.id}.png", *masks, numbers[case.patient], *[case.split] * has_splits
        table.writerow(row)
    write_text(folder / "cases.csv", text.getvalue())
