"""Pairs of masks and images with the same name, or with names that differ by one affix such as `_mask`."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from medseg.data.case import case_id
from medseg.data.findings import Findings

Affix = tuple[str, str]
"""Text before and after a name; one of the two is empty."""

_IMAGE = re.compile(r"((?:images?|img|im)[ _.-]?)?(.+?)([ _.-]?(?:images?|img|im)|_0000)?", re.IGNORECASE)
"""Image names with an affix that mask names lack: the word image, or nnU-Net's channel number."""


def name_files(files: Iterable[Path], findings: Findings) -> dict[str, Path]:
    """Return the files by id. Two files with the same id are noted as a finding."""
    found: dict[str, Path] = {}
    for path in files:
        if (name := case_id(path)) in found:
            first, second = (unicodedata.normalize("NFC", file.name) for file in (found[name], path))
            differ = "Unicode normalization" if first == second else "their extension"
            both = f"{found[name].name}, {path.name}"
            findings.add("layout", name, both, what=f"files whose names differ only in {differ}")
        found[name] = path
    return found


def pair_files(images: Mapping[str, Path], masks: Mapping[str, Path]) -> dict[str, Path]:
    """Return the masks by the id of their image; a mask without an image keeps its own id.

    If no mask has the name of an image, one affix is removed from all masks. This needs exactly one affix that turns
    every mask name into an image name.
    """
    for names in [] if images.keys() & masks.keys() else name_images(images):
        affixes = [a for a in _find_affixes(names, min(masks, default="")) if all(_strip(m, a) in names for m in masks)]
        if len(affixes) == 1:
            return {names[str(_strip(mask, affixes[0]))]: path for mask, path in masks.items()}
    return dict(masks)


def name_images(images: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield mappings of image name -> id: first the ids, then the ids without an affix that all share (`_image`)."""
    yield {name: name for name in images}
    found = {name: match for name in images if (match := _IMAGE.fullmatch(name))}
    if len({(match[1], match[3]) for match in found.values()}) == 1:
        yield {match[2]: name for name, match in found.items()}


def _find_affixes(names: Collection[str], mask: str) -> set[Affix]:
    """Return each affix that is left of `mask` if one of `names` is removed, also the empty affix."""
    places = range(len(mask) + 1)
    behind = {("", mask[place:]) for place in places if mask[:place] in names}
    return behind | {(mask[:place], "") for place in places if mask[place:] in names}


def _strip(mask: str, affix: Affix) -> str | None:
    """Return `mask` without the affix, or None if it lacks the affix or the affix is part of the name (`11`, `1`).

    An affix is a separate word: it contains a letter and does not continue the digits or letters of the name.
    """
    before, behind = affix
    if not (mask.startswith(before) and mask.endswith(behind) and len(mask) > len(before + behind)):
        return None
    name = mask[len(before) : len(mask) - len(behind)]
    joint = before[-1:] + name[0] if before else name[-1] + behind[:1]
    if before or behind:
        torn = joint.isdigit() or (joint.isalpha() and not (joint[0].islower() and joint[1].isupper()))
        if torn or not any(character.isalpha() for character in before + behind):
            return None
    return name
