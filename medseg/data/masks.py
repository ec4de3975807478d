"""The masks of one case, at their own size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.data.case import MaskSource
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.errors import RadiographError
from medseg.radiograph.mask import LabelImage, binarize, read_label_image
from medseg.radiograph.seg import Segmentation, is_segmentation, read_segmentation


@dataclass(frozen=True, eq=False)
class ReadMask:
    """The mask of one class, and what its file holds."""

    mask: NDArray[np.bool_]
    """`(rows, columns)`."""
    values: NDArray[Any] | None
    """The levels as stored, `(rows, columns)`, where the whole file is one class; else None."""


def read_masks(
    sources: Mapping[str, MaskSource], config: CasesConfig, classes: Sequence[str]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Masks uint8 `(class, rows, columns)` of 0 and 1 at their own size, and warnings. Raises `RadiographError`."""
    warnings: list[str] = []
    masks = {name: read.mask for name, read in read_mask_files(sources, config, warnings).items()}
    stacked = np.zeros((len(classes), *next(iter(masks.values())).shape), np.uint8)
    for name, mask in masks.items():
        stacked[classes.index(name)] = mask
    return stacked, warnings


def read_mask_files(sources: Mapping[str, MaskSource], config: CasesConfig, warnings: list[str]) -> dict[str, ReadMask]:
    """The mask of each class, all of one size; a file that several share is read once. Raises `RadiographError`."""
    files: dict[Path, Segmentation | LabelImage] = {}
    masks: dict[str, ReadMask] = {}
    for name, source in sources.items():
        if source.path not in files:
            segmented = is_segmentation(source.path)
            if segmented:
                files[source.path] = read_segmentation(source.path)
            else:
                label = read_label_image(source.path, nifti_rows=config.nifti_rows, exif=config.exif)
                files[source.path] = label
                warnings += label.warnings
        content = files[source.path]
        values = content.values if isinstance(content, LabelImage) and not source.values else None
        masks[name] = ReadMask(_mask_of(content, source, warnings), values)
    if len({read.mask.shape for read in masks.values()}) != 1:
        listed = ", ".join(f"{source.path} {masks[name].mask.shape}" for name, source in sources.items())
        raise RadiographError(f"masks of one image differ in size: {listed}", "shape")
    return masks


def check_sizes(image: Path, image_size: Sequence[int], mask: Path, mask_size: Sequence[int]) -> None:
    """Raise `RadiographError` naming both files unless the sizes of an image and its mask or target have one ratio."""
    if not has_one_ratio(image_size, mask_size):
        raise RadiographError(
            f"{mask}: has {mask_size[0]} x {mask_size[1]} pixels, its image {image} "
            f"{image_size[0]} x {image_size[1]}; rows and columns must have the same ratio",
            "shape",
        )


def has_one_ratio(image_size: Sequence[int], mask_size: Sequence[int]) -> bool:
    """Whether the rows and columns of an image and its mask have the same ratio."""
    return image_size[0] * mask_size[1] == image_size[1] * mask_size[0]


def check_classes(
    names: Sequence[str],
    training: Sequence[bool],
    classes: Sequence[str],
    shown: Sequence[Sequence[bool]],
    findings: Findings,
) -> None:
    """Note the cases of each class that no training case shows; `shown` tells by case and class."""
    for index, label in enumerate(classes):
        seen = [case[index] for case in shown]
        if not any(s for s, used in zip(seen, training, strict=True) if used):
            for name in (name for name, s in zip(names, seen, strict=True) if not s):
                findings.add("class_empty", name, label)


def _mask_of(content: Segmentation | LabelImage, source: MaskSource, warnings: list[str]) -> NDArray[np.bool_]:
    if isinstance(content, Segmentation):
        labels = list(content.masks)
        if source.segment is None and len(labels) != 1:
            raise RadiographError(f"{source.path}: has {len(labels)} segments where a mask of one class was expected")
        return content.masks[source.segment or labels[0]]
    if not source.values:
        return binarize(content, warnings)
    meant = np.isin(content.values, (0, *source.known))
    if not meant.all():
        unknown = np.unique(content.values[~meant])[:10].tolist()
        raise RadiographError(
            f"{source.path}: label values {unknown} belong to no class; declared are {list(source.known)} and 0",
            "labels",
        )
    return np.isin(content.values, source.values)
