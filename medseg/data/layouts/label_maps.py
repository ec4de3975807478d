"""Classes of the values or segments of a mask file: from names in the file, from settings, or from the class order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medseg.annotations.shape import name_class
from medseg.data.case import MaskSource, Values, as_text
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.data.layouts.mask_colors import MaskColors, list_colors
from medseg.errors import DataError, RadiographError
from medseg.radiograph.channels import JPEG_TOLERANCE, has_colors
from medseg.radiograph.mask import read_label_image
from medseg.radiograph.npy import list_masks
from medseg.radiograph.slicer import read_segment_names

_LIST_CHANNELS = (
    "List the classes in data.classes, in the order of the channels. If three channels are red, green and blue, set "
    "data.colors instead."
)


@dataclass(frozen=True)
class Segments:
    """Masks that one file holds."""

    names: tuple[str, ...]
    are_arrays: bool
    """Whether the file is a NumPy file, whose masks lie on the image as they are."""

    @property
    def are_numbered(self) -> bool:
        """Whether the names are the numbers of channels."""
        return self.are_arrays and self.names[0].isdecimal()


@dataclass(frozen=True)
class LabelMaps:
    """Mask files of a data set; each file may hold several classes."""

    classes: tuple[str, ...]
    segments: Mapping[Path, Segments]
    """Segments of each file of 3D Slicer, and of each NumPy file with several masks."""
    labels: Mapping[str, Values]
    """Class -> its values in all other files; empty if the values are not declared."""
    ordered: bool
    """Whether data.classes gives the order of the classes, so that value i is the i-th class."""
    complete: bool
    """Whether each case must have each class."""
    ignored: int | None = None
    """Value of pixels that are excluded from loss and metrics."""
    colors: MaskColors | None = None
    """Colors of the masks, if `labels` and `ignored` are colors."""

    def find_sources(self, case: str, path: Path, image: Path, findings: Findings) -> dict[str, MaskSource]:
        """Return the source of each class of `case` in its mask file."""
        if path in self.segments:
            return self._by_name(case, path, image, findings)
        if self.segments and not self.ordered and not self.labels:
            text = f"{as_text(path.name)}: has no segment names, but other masks have. List its values in data.classes"
            findings.add("segment_names", case, text)
        if self.labels:
            known = self.colors.known if self.colors else join_values(self.labels.values())
            as_colors = self.colors is not None
            return {
                name: MaskSource(path, self.labels[name], known, ignored=self.ignored, as_colors=as_colors)
                for name in self.classes
                if name in self.labels
            }
        if len(self.classes) == 1:
            return {self.classes[0]: MaskSource(path, ignored=self.ignored)}
        values = tuple(range(1, len(self.classes) + 1))
        return {
            name: MaskSource(path, (value,), values, ignored=self.ignored)
            for name, value in zip(self.classes, values, strict=True)
        }

    def _by_name(self, case: str, path: Path, image: Path, findings: Findings) -> dict[str, MaskSource]:
        segments, names = self.segments[path], self.segments[path].names
        if segments.are_numbered:
            return self._by_number(case, path, names, findings)
        by_class = {name_class(name).casefold(): name for name in names}
        wanted = {name.casefold() for name in self.classes}
        lacking = wanted - set(by_class) if self.complete else set()
        if set(by_class) - wanted or lacking or len(by_class) < len(names):
            _note_segments(case, path, names, self.classes, findings)
        placed_on = None if segments.are_arrays else image
        return {
            name: MaskSource(path, segment=by_class[name.casefold()], image=placed_on)
            for name in self.classes
            if name.casefold() in by_class
        }

    def _by_number(self, case: str, path: Path, names: Sequence[str], findings: Findings) -> dict[str, MaskSource]:
        if self.ordered and len(names) == len(self.classes):
            return {label: MaskSource(path, segment=name) for label, name in zip(self.classes, names, strict=True)}
        listed = ", ".join(self.classes) if self.ordered else "not set"
        text = f"{as_text(path.name)}: {len(names)} channels, but data.classes is {listed}"
        what = "masks whose channels are not the classes"
        findings.add("segment_names", case, text, what=what, remedy=_LIST_CHANNELS)
        return {}


def find_label_maps(
    files: Iterable[Path],
    config: CasesConfig,
    labels: Mapping[str, Values] | None = None,
    ignored: int | None = None,
) -> LabelMaps:
    """Return the content of mask `files`. `labels` and `ignored` come from the data set; settings take precedence.

    Raises `DataError` if the ignored value is also the value of a class, or if NumPy files have a mask for each class.
    """
    colors = list_colors(config)
    every = {path: each for path in files if (each := _find_segments(path)) is not None}
    segments = {path: each for path, each in every.items() if not (colors and each.are_numbered)}
    if colors:
        labels, ignored = colors.classes, colors.ignored
    labels = config.label_values or labels or {}
    named = (name_class(name) for each in segments.values() if not each.are_numbered for name in each.names)
    spelled = {name.casefold(): name for name in named}
    classes = config.classes or tuple(labels) or tuple(sorted(spelled.values())) or ("foreground",)
    ignored = ignored if config.ignore_value is None else config.ignore_value
    if ignored is not None:
        _refuse_arrays(segments)
    if not colors:
        _check_ignored(ignored, labels or {name: (place,) for place, name in enumerate(classes, 1) if len(classes) > 1})
    return LabelMaps(classes, segments, labels, config.classes is not None, config.missing == "error", ignored, colors)


def find_own_mask(
    case: str, path: Path, image: Path, label: str, config: CasesConfig, findings: Findings
) -> dict[str, MaskSource]:
    """Return the mask source of class `label`, whose folder or column contains the file.

    The result is empty if the file holds segments and none has this name. Raises `DataError` if the file is in color
    and `data.colors` lists other classes only, or if it is a NumPy file with several masks and `data.ignore_value` is
    set.
    """
    found, colors = _find_segments(path), list_colors(config)
    if (found is None or found.are_numbered) and colors:
        if label in colors.classes:
            values = colors.classes[label]
            return {label: MaskSource(path, values, colors.known, alone=True, ignored=colors.ignored, as_colors=True)}
        _refuse_color(path, label)
    if found is None:
        labels = config.label_values or {}
        known = join_values(labels.values()) if label in labels else ()
        _check_ignored(config.ignore_value, labels)
        return {label: MaskSource(path, labels.get(label, ()), known, alone=True, ignored=config.ignore_value)}
    if config.ignore_value is not None:
        _refuse_arrays({path: found})
    names = [name for name in found.names if len(found.names) == 1 or name_class(name).casefold() == label.casefold()]
    if len(names) == 1:
        return {label: MaskSource(path, segment=names[0], image=None if found.are_arrays else image, alone=True)}
    _note_segments(case, path, found.names, (label,), findings)
    return {}


def _refuse_arrays(segments: Mapping[Path, Segments]) -> None:
    """Raise `DataError` if a NumPy file has a mask for each class, whose values are not compared with other values."""
    if path := next((path for path, each in segments.items() if each.are_arrays), None):
        raise DataError(
            f"{as_text(path)}: has a mask for each class, in which no value can be ignored (data.ignore_value, or the "
            "label 'ignore' in dataset.json). Save a label map instead, or remove this setting"
        )


def _refuse_color(path: Path, label: str) -> None:
    """Raise `DataError` if a mask shows colors, also those of a palette."""
    try:
        packed = read_label_image(path, as_colors=True).values
    except RadiographError:
        return  # the file has levels, or the error is reported when the mask is read
    if has_colors(packed[:, :, None] >> np.array([16, 8, 0]) & 255, JPEG_TOLERANCE):
        raise DataError(f"{as_text(path)}: is in color, but data.colors has no color of {label}. Add its color")


def _check_ignored(ignored: int | None, labels: Mapping[str, Values]) -> None:
    """Raise `DataError` if the ignored value is also the value of the background or of a class."""
    taken = {value: name for name, values in labels.items() for value in values if values != "nonzero"}
    if ignored == 0 or ignored in taken:
        meaning = f"the class {taken[ignored]}" if ignored else "the background"
        raise DataError(
            f"the value {ignored} is set as the value to ignore (by data.ignore_value or by the label 'ignore' in "
            f"dataset.json), but it is also the value of {meaning}. Choose a value that no class has."
        )


def join_values(parts: Iterable[Values]) -> Values:
    """Return all values in `parts`."""
    joined: set[int] = set()
    for part in parts:
        if part == "nonzero":
            return part
        joined.update(part)
    return tuple(sorted(joined))


def _find_segments(path: Path) -> Segments | None:
    try:
        if (names := read_segment_names(path)) is not None:
            return Segments(names, are_arrays=False)
        return Segments(arrays, are_arrays=True) if (arrays := list_masks(path)) else None
    except RadiographError:
        return None  # the error is reported when the mask is read


def _note_segments(case: str, path: Path, names: Sequence[str], classes: Sequence[str], findings: Findings) -> None:
    listed = ", ".join(names) or "none"
    text = f"{as_text(path.name)}: segments {as_text(listed)}, but classes {', '.join(classes)}"
    findings.add("segment_names", case, text)
