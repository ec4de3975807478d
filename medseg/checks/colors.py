"""Checks of the colors of all mask files: colors without a class, and colors that smoothing has mixed."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from medseg.data.findings import Findings
from medseg.data.layouts.mask_colors import name_color
from medseg.data.levels import Levels
from medseg.radiograph.channels import TRANSPARENT

_NAMED = 16
"""More colors than this are no classes."""
_LISTED = 12
_MIXED = 3
"""More colors than this that lie between others are mixtures, not classes."""
_NEAR = 4.0
"""Distance from the line between two colors, in levels, within which a color is a mixture of them."""
_COUNTED = 256
_MAIN = 0.05
"""Colors with fewer pixels than this share of the most frequent color are not suggested in smoothed masks."""
_NOTHING = {0, TRANSPARENT}
_LOSSLESS = "Lossy compression changes colors. Export the masks as PNG without smoothing."
_SMOOTHED = "Export the masks again without smoothing (anti-aliasing), and without interpolation if they are resized."

FileLevels = tuple[str, str, Levels]
"""Case, class, and colors of the mask file."""


def check_colors(files: Sequence[FileLevels], classes: Sequence[str], findings: Findings) -> None:
    """Note masks with colors that no setting lists, with their numbers of pixels over the data set."""
    known = {*_NOTHING, *(int(color) for _, _, levels in files if levels.known != "nonzero" for color in levels.known)}
    strange = [found for found in files if not found[2].known or set(found[2].values) - known]
    if not strange:
        return
    pixels = _count_pixels(levels for _, _, levels in files)
    unlisted = [color for color in pixels if color not in known]
    main = _choose_main(unlisted, known)
    num_mixed = sum(_is_mixed(color, {*known, *main}) for color in unlisted[:_COUNTED])
    remedy = ""
    if any(levels.lossy for _, _, levels in strange):
        remedy = _LOSSLESS
    elif num_mixed > _MIXED or len(unlisted) > _NAMED:
        remedy = _SMOOTHED
    text = _describe(pixels, unlisted, len(files), num_mixed)
    chosen = [color for color in main if pixels[color] >= _MAIN * pixels[main[0]]] if remedy else unlisted[:_NAMED]
    chosen = chosen or [color for color in pixels if color not in _NOTHING][:_NAMED]
    for case, _, levels in strange:
        if levels.known:
            own = remedy or f"Correct the masks, or add to data.colors: {_name(chosen, len(classes) + 1)}."
            what = "masks with colors that data.colors does not list"
            findings.add("unknown_label", case, text, what=what, remedy=own)
        else:
            first = _name(chosen, 1, () if classes == ("foreground",) else classes)
            own = f"{'Then set' if remedy else 'Set'} 'data.colors={{{first}}}' with the right class for each color."
            what = "masks in color, whose classes are not stated"
            findings.add("label_values", case, text, what=what, remedy=f"{remedy} {own}".strip())


def _count_pixels(files: Iterable[Levels]) -> Counter[int]:
    """Return the number of pixels of each color, most frequent first."""
    pixels = Counter[int]()
    for levels in files:
        pixels.update({int(value): count for value, count in zip(levels.values, levels.counts, strict=True)})
    return Counter(dict(pixels.most_common()))


def _describe(pixels: Counter[int], unlisted: Sequence[int], num_files: int, num_mixed: int) -> str:
    """List the colors, first those without a class, with their numbers of pixels."""
    ordered = [*dict.fromkeys((*unlisted, *pixels))]
    listed = [f"{name_color(color)} ({pixels[color]} pixels)" for color in ordered[:_LISTED]]
    more = [f"and {len(pixels) - _LISTED} more"] if len(pixels) > _LISTED else []
    mixed = f"; {num_mixed} of them lie between others, as smoothing makes them" if num_mixed > _MIXED else ""
    return f"the colors of {num_files} mask{'s' * (num_files > 1)} are {', '.join(listed + more)}{mixed}"


def _is_mixed(color: int, among: Collection[int]) -> bool:
    """Return whether a color lies between two others, as at an anti-aliased border."""
    ends = np.array([_split(other) for other in among if other not in (color, TRANSPARENT)], np.float64)
    if len(ends) < 2:
        return False
    start, step = ends[:, None], ends[None, :] - ends[:, None]
    length = np.maximum((step**2).sum(axis=2), 1)
    share = ((_split(color) - start) * step).sum(axis=2) / length
    off = np.linalg.norm(start + share[:, :, None] * step - _split(color), axis=2)
    return bool(((share > 0) & (share < 1) & (off < _NEAR)).any())


def _split(color: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([color >> 16, color >> 8 & 255, color & 255], np.float64)


def _choose_main(colors: Iterable[int], known: Collection[int]) -> list[int]:
    """Return the first colors that lie neither between those before them nor between `known` ones."""
    main: list[int] = []
    for color in colors:
        if len(main) < _NAMED and not _is_mixed(color, {*known, *main}):
            main.append(color)
    return main


def _name(colors: Sequence[int], number: int, names: Sequence[str] = ()) -> str:
    """Return `name: "#rrggbb"` for each color; colors without a name are `class_<number>`."""
    given = [*names, *(f"class_{i}" for i in range(number + len(names), number + len(colors)))]
    return ", ".join(f'{name}: "{name_color(color)}"' for name, color in zip(given, colors, strict=False))
