"""Several mask files of one image: `<id>_<class>.png` or `<class>_<id>.png` in one folder, or `<id>/<class>.png`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medseg.annotations.shape import name_class
from medseg.data.case import as_text, case_id, list_files
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.pairing import name_images, pair_files

ClassFiles = dict[str, dict[str, Path]]
"""Class -> id of the image -> mask file."""
_Parse = tuple[str, str]
"""One way to read a name: id of the image, and class."""

_SEPARATORS = "_-. "
_WORD = "masks?|seg(?:mentation)?s?|labels?|gt"
_CLASS = re.compile(f"(?:(?:{_WORD})[_-]+)?(.+?)(?:[_-]+(?:{_WORD}))?", re.IGNORECASE)
"""A class, perhaps behind or before a word for masks."""
_TWO_WAYS = "mask names that fit several images or classes"
_NUMBERS = "mask names with a number that may be a class, or one of several objects of a class"
_ALONE = "mask names that differ for each image, so that they name no class"


def split_names(
    images: Mapping[str, Path], masks: Mapping[str, Path], classes: Sequence[str] | None, findings: Findings
) -> ClassFiles | None:
    """Return masks by class and image if their names hold both; None if not, or if no image has several masks.

    All names have one order, class first or image first. If a name fits several images, `classes` decides, or else the
    classes of the other names. Names that are still unclear, and masks without an image, are noted.
    """
    readings = [_read_names(masks, names) for names in name_images(images)]
    reading = max(readings, key=lambda reading: sum(map(bool, reading.values())))
    owners = Counter(owner for parses in reading.values() for owner in {owner for owner, _ in parses})
    if 2 * sum(map(bool, reading.values())) < len(masks) or max(owners.values(), default=0) < 2:
        return None
    known = {parses[0][1] for parses in reading.values() if len(parses) == 1}
    found: list[tuple[str, str, Path]] = []
    for mask, parses in reading.items():
        kept = parses if len(parses) < 2 else [p for p in parses if p[1] in (classes or known)]
        if not parses:
            findings.add("mask_without_image", mask, masks[mask].name, what="masks without an image")
        elif len(kept) > 1 or not (kept or classes):
            for owner, _ in parses:
                findings.add("mask_names", owner, masks[mask].name, what=_TWO_WAYS)
        else:
            found += [(*parse, masks[mask]) for parse in kept]
    return _gather(found, classes, findings)


def split_folders(
    images: Mapping[str, Path], folders: Sequence[Path], config: DataSetConfig, findings: Findings
) -> ClassFiles | None:
    """Return masks by class and image if `folders` have the names of images; None if they are folders of classes.

    A file has the name of its class, perhaps with the name of the image. Unclear names are noted.
    """
    classes = config.classes
    paired = pair_files(images, {case_id(folder): folder for folder in folders})
    files = {name: list_files(folder) for name, folder in paired.items()}
    is_listed = any(folder.name in (classes or ()) for folder in folders)
    if is_listed or not paired.keys() & images.keys() or _fit_classes(images, files, config):
        return None
    unclear = {name for name in paired if any(case_id(path) in images for path in files[name])}
    found = []
    for name, folder in paired.items():
        if name not in images:
            findings.add("mask_without_image", name, f"{as_text(folder.name)}/", what="masks without an image")
        elif name in unclear:
            text = f"{as_text(folder.name)}/{as_text(files[name][0].name)}"
            findings.add("mask_names", name, text, what=_TWO_WAYS)
        else:
            own = {case_id(folder): name, name: name}
            for path in files[name]:
                stem = case_id(path)
                parses = [parse for is_first in (True, False) for parse in _parse(stem, own, is_first)]
                found.append((name, parses[0][1] if parses else name_class(stem), path))
    return _gather(found, classes, findings)


def _fit_classes(images: Mapping[str, Path], files: Mapping[str, Sequence[Path]], config: DataSetConfig) -> bool:
    """Return whether folders hold masks of images by name, as folders of classes do.

    A folder holds the mask of an image of another name, or no file is without an image and, unless classes may be
    missing, no image without a class. `files` are by the name of the folder.
    """
    shown = {name: pair_files(images, {case_id(path): path for path in own}).keys() for name, own in files.items()}
    if any(found & images.keys() - {name} for name, found in shown.items()):
        return True
    may_lack = config.missing == "ignore"
    fit = all(found <= images.keys() if may_lack else found == images.keys() for found in shown.values())
    return fit and config.classes is None


def _read_names(masks: Mapping[str, Path], names: Mapping[str, str]) -> dict[str, list[_Parse]]:
    """Return all ways to read each name in the order, image first or class first, that fits more names.

    If both orders fit equally many names, all ways of both are returned.
    """
    orders = [{mask: list(_parse(mask, names, is_first)) for mask in masks} for is_first in (True, False)]
    counts = [sum(map(bool, reading.values())) for reading in orders]
    if counts[0] != counts[1]:
        return orders[counts[1] > counts[0]]
    return {mask: [*orders[0][mask], *orders[1][mask]] for mask in masks}


def _parse(mask: str, names: Mapping[str, str], is_first: bool) -> Iterator[_Parse]:
    """Yield each way to split a mask name into the name of an image and a class; `is_first`: the image comes first."""
    for place in (place for place, letter in enumerate(mask) if letter in _SEPARATORS):
        name, label = mask[:place], mask[place + 1 :]
        name, label = (name, label) if is_first else (label, name)
        if name in names and (label := name_class(label.strip(_SEPARATORS))):
            yield names[name], label


def _gather(found: Sequence[tuple[str, str, Path]], classes: Sequence[str] | None, findings: Findings) -> ClassFiles:
    """Return files by class and image, without a word for masks that all classes share. Unclear names are noted."""
    labels = {label for _, label, _ in found}
    short = {label: match[1] for label in labels if (match := _CLASS.fullmatch(label)) and match[1] != label}
    if labels.isdisjoint(classes or ()) and short.keys() == labels and len({*short.values()}) == len(labels):
        found = [(name, short[label], path) for name, label, path in found]
    gathered: ClassFiles = {}
    for name, label, path in found:
        own = gathered.setdefault(label, {})
        if name in own:
            both = f"{as_text(own[name].name)}, {as_text(path.name)}"
            findings.add("layout", name, both, what="images with several masks of one class")
        own[name] = path
    is_shared = len({name for name, _, _ in found}) == 1 or any(len(own) > 1 for own in gathered.values())
    for name, label, path in found:
        if not classes and not any(map(str.isalpha, label)):
            findings.add("mask_names", name, as_text(path.name), what=_NUMBERS)
        elif not classes and not is_shared:
            findings.add("mask_names", name, as_text(path.name), what=_ALONE)
    return gathered
