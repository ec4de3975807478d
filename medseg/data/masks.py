"""The masks of one case, at their own size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.data.case import MaskSource
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.data.levels import Levels, measure_levels
from medseg.errors import RadiographError
from medseg.radiograph.dicom.seg import is_segmentation, read_segmentation
from medseg.radiograph.mask import LabelImage, binarize, read_label_image
from medseg.radiograph.slicer import read_slicer

Segments = Mapping[str, NDArray[np.bool_]]
"""Name -> mask."""

_SAVE_LOSSLESS = "Save the mask as PNG, NIfTI or NRRD"


@dataclass(frozen=True, eq=False)
class ReadMask:
    """The mask of one class, and what its file holds.

    Where the levels of the whole set turn out to be doubtful (`level_checks`), the mask is not what was meant.
    """

    mask: NDArray[np.bool_]
    """`(rows, columns)`."""
    levels: Levels | None
    """What the file holds; None where it names its segments."""
    ignored: NDArray[np.bool_] | None = None
    """The pixels that count for nothing, `(rows, columns)`; they are background in `mask`. None without any."""


def stack_masks(files: Mapping[str, ReadMask], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Masks uint8 `(class, rows, columns)` of 0 and 1 of what was read; 0 for a class that is not among `files`."""
    stacked = np.zeros((len(classes), *next(iter(files.values())).mask.shape), np.uint8)
    for name, read in files.items():
        stacked[classes.index(name)] = read.mask
    return stacked


def stack_ignored(files: Mapping[str, ReadMask], classes: Sequence[str]) -> NDArray[np.bool_] | None:
    """The pixels that count for nothing, bool `(class, rows, columns)`; None where there are none."""
    if all(read.ignored is None for read in files.values()):
        return None
    stacked = np.zeros((len(classes), *next(iter(files.values())).mask.shape), np.bool_)
    for name, read in files.items():
        stacked[classes.index(name)] = False if read.ignored is None else read.ignored
    return stacked


def read_mask_files(sources: Mapping[str, MaskSource], config: CasesConfig, warnings: list[str]) -> dict[str, ReadMask]:
    """The mask of each class, all of one size; a file that several share is read once. Raises `RadiographError`."""
    files: dict[Path, _File] = {}
    masks: dict[str, ReadMask] = {}
    for name, source in sources.items():
        if source.path not in files:
            files[source.path] = _read_file(source, config, warnings)
        file = files[source.path]
        mask = _mask_of(file.content, source)
        masks[name] = ReadMask(mask if file.ignored is None else mask & ~file.ignored, file.levels, file.ignored)
    if len({read.mask.shape for read in masks.values()}) != 1:
        listed = ", ".join(f"{source.path} {masks[name].mask.shape}" for name, source in sources.items())
        raise RadiographError(f"masks of one image differ in size: {listed}", "shape")
    return masks


def check_sizes(image: Path, image_size: Sequence[int], mask: Path, mask_size: Sequence[int]) -> None:
    """Raise `RadiographError` naming both files unless a mask or target has the size of its image times one factor."""
    if not has_one_ratio(image_size, mask_size):
        raise RadiographError(
            f"{mask}: has {mask_size[0]} x {mask_size[1]} pixels, its image {image} "
            f"{image_size[0]} x {image_size[1]}; rows and columns must have the same ratio",
            "shape",
        )


def has_one_ratio(image_size: Sequence[int], mask_size: Sequence[int]) -> bool:
    """Whether a mask has the size of its image times one factor.

    Both sides may have been rounded in one way: down, to the nearest whole number, or up; not where one side is kept.
    """
    (rows, columns), (r, c) = image_size[:2], mask_size[:2]
    rounded = any(
        (r - d) * columns < (c + 1 - d) * rows and (c - d) * rows < (r + 1 - d) * columns for d in (0, 0.5, 1)
    )
    return rounded and (r == rows) == (c == columns)


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


@dataclass(frozen=True, eq=False)
class _File:
    """What a mask file holds; see `ReadMask`."""

    content: Segments | LabelImage
    levels: Levels | None = None
    ignored: NDArray[np.bool_] | None = None


def _read_file(source: MaskSource, config: CasesConfig, warnings: list[str]) -> _File:
    if source.image is not None:
        return _File(read_slicer(source.path, source.image))
    if is_segmentation(source.path):
        return _File(read_segmentation(source.path).masks)
    label = read_label_image(source.path, nifti_rows=config.nifti_rows, exif=config.exif)
    warnings += label.warnings
    label, ignored = _take_ignored(label, source)
    return _File(label, measure_levels(label, source.path, source.known, source.alone), ignored)


def _take_ignored(label: LabelImage, source: MaskSource) -> tuple[LabelImage, NDArray[np.bool_] | None]:
    """The label image with the least of its other values where pixels are ignored, and these pixels, if any."""
    ignored = np.zeros(1, np.bool_) if source.ignored is None else label.values == source.ignored
    if not ignored.any():
        return label, None
    if label.lossy:
        raise RadiographError(f"{source.path}: lossy compression changes the ignored value. {_SAVE_LOSSLESS}")
    rest = label.values[~ignored]
    return replace(label, values=np.where(ignored, rest.min() if rest.size else 0, label.values)), ignored


def _mask_of(content: Segments | LabelImage, source: MaskSource) -> NDArray[np.bool_]:
    if not isinstance(content, LabelImage):
        labels = list(content)
        if source.segment is None and len(labels) != 1:
            raise RadiographError(f"{source.path}: has {len(labels)} segments where a mask of one class was expected")
        return content[source.segment or labels[0]]
    if source.values == "nonzero":
        if content.lossy:
            raise RadiographError(f"{source.path}: lossy compression changes which pixels are 0. {_SAVE_LOSSLESS}")
        return np.asarray(content.values != 0)
    return np.isin(content.values, source.values) if source.values else binarize(content)
