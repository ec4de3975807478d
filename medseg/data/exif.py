"""Whether masks lie on an image as its EXIF orientation shows it, or as it is stored."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from medseg.data.config import CasesConfig
from medseg.data.masks import has_one_ratio
from medseg.errors import RadiographError
from medseg.radiograph.raster import find_exif_orientation

_FIRST_TRANSPOSED = 5
"""From this orientation on rows and columns change places."""


def is_drawn_as_stored(
    data: CasesConfig,
    image: Path,
    orientation: int | None,
    size: Sequence[int],
    labels: Iterable[Path],
    label_size: Sequence[int],
) -> bool:
    """Whether an image that was turned by its EXIF `orientation` must be turned back to lie under its labels.

    `size` is `(rows, columns)` as it was turned; `labels` are the files of its masks, or its target. Labels with an
    EXIF orientation of their own were turned too, others are told by their size. Raises `RadiographError` where both
    readings fit and `data.exif` does not decide.
    """
    if orientation is None or data.exif is not None or all(find_exif_orientation(path) for path in labels):
        return False
    stored = size[::-1] if orientation >= _FIRST_TRANSPOSED else size
    if not has_one_ratio(stored, label_size):
        return False
    if has_one_ratio(size, label_size):
        raise RadiographError(
            f"{image}: has EXIF orientation {orientation}; its masks of {label_size[0]} x {label_size[1]} fit the "
            "turned image and the stored one. Give data.exif=apply or data.exif=ignore",
            "exif",
        )
    return True
