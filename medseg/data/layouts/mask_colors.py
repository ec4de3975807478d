"""Meaning of the colors of masks, as `data.colors` gives it."""

from collections.abc import Mapping
from dataclasses import dataclass

from medseg.data.config import CasesConfig
from medseg.errors import DataError
from medseg.radiograph.channels import TRANSPARENT

_BACKGROUND, _IGNORE = "background", "ignore"
"""Names that are no classes, as in a dataset.json."""


@dataclass(frozen=True)
class MaskColors:
    """Colors of the classes, the background and the ignored pixels, as numbers `0xRRGGBB`."""

    classes: Mapping[str, tuple[int, ...]]
    known: tuple[int, ...]
    """All listed colors, in ascending order."""
    ignored: int | None


def list_colors(config: CasesConfig) -> MaskColors | None:
    """Return the colors that `data.colors` lists, or None without this setting.

    Raises `DataError` if it has no class, if a color has two meanings, or if another setting gives the meaning too.
    """
    if config.colors is None:
        return None
    if config.label_values is not None or config.ignore_value is not None:
        raise DataError(
            "data.colors cannot be combined with data.label_values or data.ignore_value. For colored masks set "
            "data.colors alone; its name 'ignore' lists the color of ignored pixels"
        )
    numbers = {name: tuple(int(color[1:], 16) for color in colors) for name, colors in config.colors.items()}
    background, ignored = (numbers.pop(name, ()) for name in (_BACKGROUND, _IGNORE))
    if not numbers:
        raise DataError("data.colors has no class. Name at least one class and its color")
    if len(ignored) > 1:
        raise DataError(f"data.colors lists {len(ignored)} colors as 'ignore'. List a single color")
    of_classes = {color for colors in numbers.values() for color in colors}
    if doubled := sorted(of_classes & {*background, *ignored} | {*background} & {*ignored}):
        raise DataError(f"data.colors gives {name_color(doubled[0])} two meanings. Give each color one meaning")
    return MaskColors(numbers, tuple(sorted(of_classes | {*background})), ignored[0] if ignored else None)


def name_color(number: float) -> str:
    """Return a packed color as `#rrggbb`, or `transparent`."""
    return "transparent" if number == TRANSPARENT else f"#{int(number):06x}"
