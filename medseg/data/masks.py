"""Masks of one case, at their original size."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.annotations import AnnotatedImage, draw_masks
from medseg.data.case import MaskSource, Values
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.data.levels import Levels, measure_levels
from medseg.errors import RadiographError
from medseg.radiograph.dicom.seg import is_segmentation, read_segmentation
from medseg.radiograph.mask import LabelImage, binarize, read_label_image
from medseg.radiograph.npy import read_masks
from medseg.radiograph.read import read_radiograph
from medseg.radiograph.slicer import read_slicer

Segments = Mapping[str, NDArray[np.bool_]]
"""Segment name -> mask."""

_SAVE_LOSSLESS = "Save the mask as PNG, NIfTI or NRRD"


@dataclass(frozen=True, eq=False)
class ReadMask:
    """The mask of one class, and the levels in its file.

    The mask may be wrong if the check of all levels of the data set (`checks.levels`) finds them ambiguous.
    """

    mask: NDArray[np.bool_]
    """`(rows, columns)`."""
    levels: tuple[Levels, ...]
    """Levels in the file, or in each file of the class; files that name their segments have none."""
    ignored: NDArray[np.bool_] | None = None
    """Ignored pixels `(rows, columns)`, which are background in `mask`; None if there are none."""


def stack_masks(files: Mapping[str, ReadMask], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Return the masks as uint8 `(class, rows, columns)` of 0 and 1; a class that is not in `files` is 0."""
    stacked = np.zeros((len(classes), *next(iter(files.values())).mask.shape), np.uint8)
    for name, read in files.items():
        stacked[classes.index(name)] = read.mask
    return stacked


def stack_ignored(files: Mapping[str, ReadMask], classes: Sequence[str]) -> NDArray[np.bool_] | None:
    """Return the ignored pixels as bool `(class, rows, columns)`, or None if there are none."""
    if all(read.ignored is None for read in files.values()):
        return None
    stacked = np.zeros((len(classes), *next(iter(files.values())).mask.shape), np.bool_)
    for name, read in files.items():
        stacked[classes.index(name)] = False if read.ignored is None else read.ignored
    return stacked


def read_mask_files(sources: Mapping[str, MaskSource], config: CasesConfig, warnings: list[str]) -> dict[str, ReadMask]:
    """Read the mask of each class; a file that several classes share is read once. Several files of a class are united.

    Raises `RadiographError` if a file cannot be read or the masks differ in size.
    """
    files: _Files = {}
    masks: dict[str, ReadMask] = {}
    for name, source in sources.items():
        notes: list[str] = []
        masks[name] = _read_mask(source, files, config, notes)
        for other in source.others:
            masks[name] = _unite(masks[name], _read_mask(other, {}, config, notes), source.path, other.path)
        warnings += dict.fromkeys(notes)
    if len({read.mask.shape for read in masks.values()}) != 1:
        listed = ", ".join(f"{source.path} {masks[name].mask.shape}" for name, source in sources.items())
        raise RadiographError(f"the masks of one image differ in size (rows, columns): {listed}", "shape")
    return masks


def resize_masks(masks: NDArray[np.bool_], size: Sequence[int]) -> NDArray[np.bool_]:
    """Masks `(class, rows, columns)` resampled to another size `(rows, columns)` by nearest neighbor."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, masks.shape[1:], strict=True))
    return masks[:, rows[:, None], columns]


def check_sizes(image: Path, image_size: Sequence[int], mask: Path, mask_size: Sequence[int]) -> None:
    """Raise `RadiographError` unless the mask or target has the size of its image times one factor."""
    if not has_one_ratio(image_size, mask_size):
        raise RadiographError(
            f"{mask}: {mask_size[0]} x {mask_size[1]} pixels, but its image {image} has "
            f"{image_size[0]} x {image_size[1]}. Export both at one size or at the same aspect ratio",
            "shape",
        )


def has_one_ratio(image_size: Sequence[int], mask_size: Sequence[int]) -> bool:
    """Return whether a mask has the size of its image times one factor.

    Both sides may have been rounded the same way: down, to nearest, or up. If only one side is equal, the result is
    False.
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
    """Note each class without foreground in any training case, for the cases that do not show it.

    `shown` says by case and class whether a mask has foreground.
    """
    for index, label in enumerate(classes):
        seen = [case[index] for case in shown]
        if not any(s for s, used in zip(seen, training, strict=True) if used):
            for name in (name for name, s in zip(names, seen, strict=True) if not s):
                findings.add("class_empty", name, label)


@dataclass(frozen=True, eq=False)
class _File:
    """Content of a mask file; see `ReadMask`."""

    content: Segments | LabelImage
    levels: Levels | None = None
    ignored: NDArray[np.bool_] | None = None


_Files = dict[tuple[Path, bool, Values], _File]
"""Files that were read, by their path and the meaning of their values."""


def _read_mask(source: MaskSource, files: _Files, config: CasesConfig, warnings: list[str]) -> ReadMask:
    key = source.path, source.as_colors, source.known
    if key not in files:
        files[key] = _read_file(source, config, warnings)
    file = files[key]
    mask = _mask_of(file.content, source)
    levels = (file.levels,) if file.levels else ()
    return ReadMask(mask if file.ignored is None else mask & ~file.ignored, levels, file.ignored)


def _unite(first: ReadMask, second: ReadMask, one: Path, other: Path) -> ReadMask:
    """Return the foreground and the ignored pixels of two files of one class; ignored pixels are background."""
    (rows, columns), (r, c) = first.mask.shape, second.mask.shape
    if (rows, columns) != (r, c):
        raise RadiographError(f"{other}: {r} x {c} pixels, but {one.name} has {rows} x {columns}", "shape")
    mask, levels = first.mask | second.mask, first.levels + second.levels
    either = [read.ignored for read in (first, second) if read.ignored is not None]
    if not either:
        return ReadMask(mask, levels)
    ignored = np.logical_or.reduce(either)
    return ReadMask(mask & ~ignored, levels, ignored)


def _read_file(source: MaskSource, config: CasesConfig, warnings: list[str]) -> _File:
    if source.drawn is not None:
        return _File(_draw(source, source.drawn, config))
    if source.image is not None:
        return _File(read_slicer(source.path, source.image))
    if is_segmentation(source.path):
        return _File(read_segmentation(source.path).masks)
    if source.segment is not None:
        return _File(read_masks(source.path))
    label = read_label_image(source.path, nifti_rows=config.nifti_rows, exif=config.exif, as_colors=source.as_colors)
    warnings += label.warnings
    label, ignored = _take_ignored(label, source)
    known = source.known if label.is_color == source.as_colors else ()
    return _File(label, measure_levels(label, source.path, known, source.alone), ignored)


def _draw(source: MaskSource, drawn: AnnotatedImage, config: CasesConfig) -> Segments:
    """Return the mask of each label, drawn at the size that the annotation file states, else at that of the image."""
    assert source.image is not None
    size = drawn.size
    if size is None:
        radiograph = read_radiograph(source.image, color="grey", nifti_rows=config.nifti_rows, exif=config.exif)
        size = radiograph.pixels.shape[0], radiograph.pixels.shape[1]
    return defaultdict(lambda: np.zeros(size, np.bool_), draw_masks(drawn, size))


def _take_ignored(label: LabelImage, source: MaskSource) -> tuple[LabelImage, NDArray[np.bool_] | None]:
    """Return the label image with ignored pixels set to the least other value, and these pixels, or None."""
    is_set = source.ignored is not None and label.is_color == source.as_colors
    ignored = label.values == source.ignored if is_set else np.zeros(1, np.bool_)
    if not ignored.any():
        return label, None
    if label.lossy:
        raise RadiographError(
            f"{source.path}: the ignored value is not reliable after lossy compression. {_SAVE_LOSSLESS}"
        )
    rest = label.values[~ignored]
    return replace(label, values=np.where(ignored, rest.min() if rest.size else 0, label.values)), ignored


def _mask_of(content: Segments | LabelImage, source: MaskSource) -> NDArray[np.bool_]:
    if not isinstance(content, LabelImage):
        labels = list(content)
        if source.segment is None and len(labels) != 1:
            raise RadiographError(f"{source.path}: {len(labels)} segments, but a mask of one class is needed")
        return content[source.segment or labels[0]]
    if source.values == "nonzero":
        if content.lossy:
            raise RadiographError(
                f"{source.path}: pixels of value 0 are not reliable after lossy compression. {_SAVE_LOSSLESS}"
            )
        return np.asarray(content.values != 0)
    return np.isin(content.values, source.values) if source.values else binarize(content)
