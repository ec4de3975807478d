"""Checks of the levels of all mask files: two levels, two levels with blur, or a label map without class names."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from medseg.checks.colors import check_colors
from medseg.data.findings import Findings
from medseg.data.levels import Levels
from medseg.radiograph.channels import Color

_SMALL = {False: 64, True: 16}
"""Whole numbers with a smaller range than this are labels; by whether the file is lossy. In a JPEG, two levels so close
together would be lost in noise."""
_LABELS = 32
"""Smaller values are labels rather than codes for black and white."""
_NAMED = 16
"""More values than this are numbered objects, not classes."""
_LISTED = 12
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_IGNORED = {-1, 255}
"""Values that many programs write for pixels without a reference."""
_LOSSLESS = "Lossy compression changes label values. Export the masks as PNG, NIfTI or NRRD."
_TWO_LEVELS = "Save all masks of a class with the same two gray levels."

FileLevels = tuple[str, str, Levels]
"""Case, class, and levels of the mask file."""


def check_levels(masks: Iterable[FileLevels], classes: Sequence[str], findings: Findings) -> None:
    """Note mask files whose values belong to no class, or that have more values than class names."""
    files = list(
        {
            (levels.path, "" if levels.known or levels.is_color else label): (case, label, levels)
            for case, label, levels in masks
        }.values()
    )
    colored, files = ([found for found in files if found[2].is_color == wanted] for wanted in (True, False))
    check_colors(colored, classes, findings)
    _check_palettes([found for found in files if found[2].known not in ((), "nonzero")], findings)
    _check_declared([found for found in files if found[2].known], classes, findings)
    for label in classes:
        _check_class(label, [found for found in files if found[1] == label and not found[2].known], classes, findings)


def _check_declared(files: Sequence[FileLevels], classes: Sequence[str], findings: Findings) -> None:
    """Note values that belong to no class, with their counts over the data set."""
    strange = [
        (case, label, levels)
        for case, label, levels in files
        if levels.known != "nonzero" and set(levels.values) - {0, *levels.known}
    ]
    if not strange:
        return
    known = sorted({value for _, _, levels in files if levels.known != "nonzero" for value in levels.known})
    text = f"{_list_values(files)}; the values of the classes are {', '.join(map(str, known))}"
    unknown = [value for value in _labels_of(strange) if value not in known]
    remedy = _LOSSLESS if any(levels.lossy for _, _, levels in strange) else None
    if remedy is None and known == list(range(1, len(classes) + 1)) and 0 < len(unknown) <= _NAMED:
        names = dict(zip(known, classes, strict=True)) | {value: f"class_{value}" for value in unknown}
        suggested = f"{_suggest(names, by_order=True)} to name every value{_suggest_ignored(unknown)}"
        remedy = f"Correct the masks, or set {suggested}."
    for case, _, _ in strange:
        findings.add("unknown_label", case, text, remedy=remedy)


def _check_palettes(files: Sequence[FileLevels], findings: Findings) -> None:
    """Note files with a reordered palette: a color has another value than in most files, or black is not background."""
    having: dict[Color, Counter[int]] = {}
    for _, _, levels in files:
        for value, color in levels.colors.items():
            having.setdefault(color, Counter())[value] += 1
    for case, _, levels in files:
        background = levels.colors.get(0, _BLACK)
        for value, color in levels.colors.items():
            usual = having[color].most_common(1)[0][0]
            if value == usual and (color != _BLACK or background in (_BLACK, _WHITE)):
                continue
            other = f"in most masks {usual}" if value != usual else f"and the background is {background}"
            what = "label maps whose palettes have another order"
            remedy = "Save the masks as gray label values, or all with one palette in the order of the classes."
            text = f"{levels.path}: the color {color} has the value {value}, {other}"
            findings.add("label_values", case, text, what=what, remedy=remedy)


def _check_class(label: str, files: Sequence[FileLevels], classes: Sequence[str], findings: Findings) -> None:
    """Check the files of one class whose values are not declared."""
    several = [found for found in files if found[2].total > 2]
    few = [levels for _, _, levels in files if levels.total <= 2]
    if _is_map([levels for _, _, levels in several]) or _is_ambiguous(few):
        remedy = _suggest_for_class(label, [levels for _, _, levels in files], classes)
        what, text = f"masks of the class {label} with several values", _list_values(files)
        for case, _, _ in several or files:
            findings.add("label_values", case, text, what=what, remedy=remedy)
        return
    low = min((levels.values[0] for _, _, levels in several), default=0)
    high = max((levels.values[-1] for _, _, levels in several), default=0)
    half = (low + high) / 2
    common = Counter(levels.values for levels in few if levels.total == 2).most_common(1)
    for case, _, levels in files:
        shown = ", ".join(f"{value:g}" for value in dict.fromkeys((*levels.values[:2], levels.values[-1])))
        if levels.total > 2 and not levels.values[0] <= half < levels.values[-1]:
            text = f"{label}: {levels.values[0]:g} to {levels.values[-1]:g}; other masks have {low:g} to {high:g}"
            what = "masks whose range of gray levels differs from that of the other masks"
            findings.add("mask_levels", case, text, what=what, severity="error", remedy=_TWO_LEVELS)
        elif levels.total > 2:
            findings.add("mask_levels", case, f"{label}: {shown}, ...")
        elif levels.total == 2 and levels.values != common[0][0]:
            usual = ", ".join(f"{value:g}" for value in common[0][0])
            findings.add("mask_values", case, f"{label}: {shown}; most masks have {usual}")


def _is_map(several: Sequence[Levels]) -> bool:
    """Return whether files with more than two levels are label maps, not two levels with blurred borders."""
    return any(
        levels.mapped
        or (levels.values[-1] - levels.values[0] < _SMALL[levels.lossy] and all(v.is_integer() for v in levels.values))
        for levels in several
    )


def _is_ambiguous(few: Sequence[Levels]) -> bool:
    """Return whether files with one or two levels disagree: {0, 1} and {0, 2} do, {0, 1} and {0, 255} do not."""
    pairs = {levels.values for levels in few if levels.total == 2}
    singles = {levels.values[0] for levels in few if levels.total == 1} - {0}
    if singles & {low for low, _ in pairs}:
        return True
    pairs |= {(0.0, value) for value in singles if value not in {high for _, high in pairs}}
    labels = {value for pair in pairs for value in (0.0, *pair) if value.is_integer() and 0 <= value < _LABELS}
    return len(pairs) > 1 and (len(labels) > 2 or len({high for _, high in pairs}) > 2)


def _suggest_for_class(label: str, files: Sequence[Levels], classes: Sequence[str]) -> str:
    """Return the remedy for files whose values may be several classes."""
    values = _labels_of(("", label, levels) for levels in files)
    if any(levels.lossy and levels.total > 2 for levels in files):
        return _LOSSLESS
    whole = f"{_quote(f'data.label_values={{{label}: nonzero}}')} if every value except 0 is {label}"
    if not 0 < len(values) <= _NAMED:
        return f"Set {whole}."
    given = () if classes == ("foreground",) else (label,)
    names = {value: given[index] if index < len(given) else f"class_{value}" for index, value in enumerate(values)}
    by_order = values == list(range(1, len(values) + 1)) and not any(levels.alone for levels in files)
    return f"Set {_suggest(names, by_order=by_order)} if each value is a class, or {whole}{_suggest_ignored(values)}."


def _suggest(names: Mapping[int, str], *, by_order: bool) -> str:
    """Return settings that name each value; also data.classes if the values are the places in it."""
    mapping = ", ".join(f"{name}: [{value}]" for value, name in sorted(names.items()))
    settings = [_quote(f"data.label_values={{{mapping}}}")]
    if by_order and sorted(names) == list(range(1, len(names) + 1)):
        settings.insert(0, f"data.classes=[{','.join(names[value] for value in sorted(names))}]")
    return " or ".join(settings)


def _suggest_ignored(values: Sequence[int]) -> str:
    """Return the setting that ignores one of `values`, if programs often write this value for ignored pixels."""
    found = [value for value in values if value in _IGNORED and all(0 < v < _LABELS for v in values if v != value)]
    return "".join(f", or data.ignore_value={value} to ignore these pixels" for value in found)


def _quote(setting: str) -> str:
    """Quote a setting for a shell."""
    return f"'{setting}'"


def _labels_of(files: Iterable[FileLevels]) -> list[int]:
    """Return the whole numbers in files except 0, negative numbers last."""
    values = {value for _, _, levels in files for value in levels.values}
    whole = (int(value) for value in values if value and value.is_integer())
    return sorted(whole, key=lambda value: (value < 0, value))


def _list_values(files: Sequence[FileLevels]) -> str:
    """List each value with its numbers of pixels and files."""
    pixels, having = Counter[float](), Counter[float]()
    for _, _, levels in files:
        pixels.update(dict(zip(levels.values, levels.counts, strict=True)))
        having.update(levels.values)
    listed = [f"{v:g} ({pixels[v]} pixels in {_count(having[v])})" for v in sorted(pixels)[:_LISTED]]
    more = [f"and {len(pixels) - _LISTED} more up to {max(pixels):g}"] if len(pixels) > _LISTED else []
    return f"the values of {_count(len(files))} are {', '.join(listed + more)}"


def _count(masks: float) -> str:
    return f"{masks:g} mask{'s' if masks > 1 else ''}"
