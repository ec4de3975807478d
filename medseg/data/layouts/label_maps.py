"""Classes of the values or segments of a mask file: from names in the file, from settings, or from the class order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.annotations.shape import name_class
from medseg.data.case import MaskSource, Values, as_text
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.data.layouts.mask_colors import MaskColors, list_colors
from medseg.errors import DataError, RadiographError
from medseg.radiograph.slicer import read_segment_names


@dataclass(frozen=True)
class LabelMaps:
    """Mask files of a data set; each file may hold several classes."""

    classes: tuple[str, ...]
    segments: Mapping[Path, tuple[str, ...]]
    """Segment names of each 3D Slicer file."""
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
        names = self.segments[path]
        by_class = {name_class(name).casefold(): name for name in names}
        wanted = {name.casefold() for name in self.classes}
        lacking = wanted - set(by_class) if self.complete else set()
        if set(by_class) - wanted or lacking or len(by_class) < len(names):
            _note_segments(case, path, names, self.classes, findings)
        return {
            name: MaskSource(path, segment=by_class[name.casefold()], image=image)
            for name in self.classes
            if name.casefold() in by_class
        }


def find_label_maps(
    files: Iterable[Path],
    config: CasesConfig,
    labels: Mapping[str, Values] | None = None,
    ignored: int | None = None,
) -> LabelMaps:
    """Return the content of mask `files`. `labels` and `ignored` come from the data set; settings take precedence.

    Raises `DataError` if the ignored value is also the value of a class.
    """
    segments = {path: names for path in files if (names := _segment_names(path)) is not None}
    if colors := list_colors(config):
        labels, ignored = colors.classes, colors.ignored
    labels = config.label_values or labels or {}
    spelled = {name_class(name).casefold(): name_class(name) for names in segments.values() for name in names}
    classes = config.classes or tuple(labels) or tuple(sorted(spelled.values())) or ("foreground",)
    ignored = ignored if config.ignore_value is None else config.ignore_value
    if not colors:
        _check_ignored(ignored, labels or {name: (place,) for place, name in enumerate(classes, 1) if len(classes) > 1})
    return LabelMaps(classes, segments, labels, config.classes is not None, config.missing == "error", ignored, colors)


def find_own_mask(
    case: str, path: Path, image: Path, label: str, config: CasesConfig, findings: Findings
) -> dict[str, MaskSource]:
    """Return the mask source of class `label`, whose folder or column contains the file.

    The result is empty if the file holds segments and none has this name.
    """
    names = _segment_names(path)
    if names is None and (colors := list_colors(config)) and label in colors.classes:
        values = colors.classes[label]
        return {label: MaskSource(path, values, colors.known, alone=True, ignored=colors.ignored, as_colors=True)}
    if names is None:
        labels = config.label_values or {}
        known = join_values(labels.values()) if label in labels else ()
        _check_ignored(config.ignore_value, labels)
        return {label: MaskSource(path, labels.get(label, ()), known, alone=True, ignored=config.ignore_value)}
    named = [name for name in names if len(names) == 1 or name_class(name).casefold() == label.casefold()]
    if len(named) == 1:
        return {label: MaskSource(path, segment=named[0], image=image, alone=True)}
    _note_segments(case, path, names, (label,), findings)
    return {}


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


def _segment_names(path: Path) -> tuple[str, ...] | None:
    try:
        return read_segment_names(path)
    except RadiographError:
        return None  # the error is reported when the mask is read


def _note_segments(case: str, path: Path, names: Sequence[str], classes: Sequence[str], findings: Findings) -> None:
    listed = ", ".join(names) or "none"
    text = f"{as_text(path.name)}: segments {as_text(listed)}, but classes {', '.join(classes)}"
    findings.add("segment_names", case, text)
