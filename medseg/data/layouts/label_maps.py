"""What the values or the segments of a mask file are: by the names in it, by settings, or by the order of classes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.data.case import MaskSource, Values, as_text
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.errors import DataError, RadiographError
from medseg.radiograph.slicer import read_segment_names


@dataclass(frozen=True)
class LabelMaps:
    """The mask files of a data set that may hold several classes each."""

    classes: tuple[str, ...]
    segments: Mapping[Path, tuple[str, ...]]
    """The names of the segments in files of 3D Slicer."""
    labels: Mapping[str, Values]
    """Class -> its values in all other files; empty where nobody has declared them."""
    ordered: bool
    """Somebody has put the classes in order, so that a value can be a place in it."""
    complete: bool
    """Each case must have each class."""
    ignored: int | None = None
    """The value whose pixels count for nothing."""

    def find_sources(self, case: str, path: Path, image: Path, findings: Findings) -> dict[str, MaskSource]:
        """Where each class of `case` stands in its mask file."""
        if path in self.segments:
            return self._by_name(case, path, image, findings)
        if self.segments and not self.ordered and not self.labels:
            text = f"{as_text(path.name)}: names no segments, but other masks do. Name its values in data.classes"
            findings.add("segment_names", case, text)
        if self.labels:
            known = join_values(self.labels.values())
            return {
                name: MaskSource(path, self.labels[name], known, ignored=self.ignored)
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
    """What is in `files`; `labels` and `ignored` are what the data set itself declares, where no setting does.

    Raises `DataError` where the ignored value is also one of a class.
    """
    segments = {path: names for path in files if (names := _segment_names(path)) is not None}
    labels = config.label_values or labels or {}
    spelled = {name_class(name).casefold(): name_class(name) for names in segments.values() for name in names}
    classes = config.classes or tuple(labels) or tuple(sorted(spelled.values())) or ("foreground",)
    ignored = ignored if config.ignore_value is None else config.ignore_value
    _check_ignored(ignored, labels or {name: (place,) for place, name in enumerate(classes, 1) if len(classes) > 1})
    return LabelMaps(classes, segments, labels, config.classes is not None, config.missing == "error", ignored)


def find_own_mask(
    case: str, path: Path, image: Path, label: str, config: CasesConfig, findings: Findings
) -> dict[str, MaskSource]:
    """The mask in a file that belongs to the class `label` by its place; none where its segments are others."""
    names = _segment_names(path)
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
    """Raise `DataError` where the ignored value is the background or one of a class."""
    taken = {value: name for name, values in labels.items() for value in values if values != "nonzero"}
    if ignored == 0 or ignored in taken:
        meaning = f"the class {taken[ignored]}" if ignored else "the background"
        raise DataError(
            f"the ignored value {ignored} (data.ignore_value, or the label ignore of dataset.json) is also the value "
            f"of {meaning}. Choose a value that only ignored pixels have."
        )


def name_class(label: str) -> str:
    """The class that a segment is called by: its name with `_` for whatever no class name may hold."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", label.strip()).strip("_")[:32]


def join_values(parts: Iterable[Values]) -> Values:
    """All values that any of `parts` names."""
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
        return None  # reading the mask will say what is wrong with it


def _note_segments(case: str, path: Path, names: Sequence[str], classes: Sequence[str], findings: Findings) -> None:
    listed = ", ".join(names) or "none"
    text = f"{as_text(path.name)}: the segments are {as_text(listed)}; the classes are {', '.join(classes)}"
    findings.add("segment_names", case, text)
