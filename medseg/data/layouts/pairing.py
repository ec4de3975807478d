"""Masks and images that belong together by their names: alike, or but for one affix such as `_mask`."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from medseg.data.case import case_id
from medseg.data.findings import Findings

Affix = tuple[str, str]
"""What stands before and behind a name; one of the two is empty."""

_IMAGE = re.compile(r"((?:images?|img|im)[ _.-]?)?(.+?)([ _.-]?(?:images?|img|im)|_0000)?", re.IGNORECASE)
"""What names of images may carry that those of masks do not: the kind of file, or nnU-Net's number of the channel."""


def name_files(files: Iterable[Path], findings: Findings) -> dict[str, Path]:
    """The files by id. Notes two of one id."""
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
    """The masks by the id of their image; a mask that belongs to none keeps its own id.

    Where no mask is named as an image is, one affix is taken off all of them, if that leaves the name of an image of
    each, and no other affix does.
    """
    for names in [] if images.keys() & masks.keys() else _name_images(images):
        affixes = [a for a in _find_affixes(names, min(masks, default="")) if all(_strip(m, a) in names for m in masks)]
        if len(affixes) == 1:
            return {names[str(_strip(mask, affixes[0]))]: path for mask, path in masks.items()}
    return dict(masks)


def _name_images(images: Iterable[str]) -> Iterator[dict[str, str]]:
    """The name of each image -> its id: the id itself, then without the affix that all have, such as `_image`."""
    yield {name: name for name in images}
    found = {name: match for name in images if (match := _IMAGE.fullmatch(name))}
    if len({(match[1], match[3]) for match in found.values()}) == 1:
        yield {match[2]: name for name, match in found.items()}


def _find_affixes(names: Collection[str], mask: str) -> set[Affix]:
    """Each affix of `mask` beside one of `names`; an empty one, too."""
    places = range(len(mask) + 1)
    behind = {("", mask[place:]) for place in places if mask[:place] in names}
    return behind | {(mask[:place], "") for place in places if mask[place:] in names}


def _strip(mask: str, affix: Affix) -> str | None:
    """`mask` without the affix; None where it has none, or where the affix is a part of the name, as in `11` of `1`.

    An affix is a word: it has a letter, and begins (or ends) where digits, or letters, of the name do not go on.
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
