"""Images under their masks, which were drawn on the image as its EXIF orientation shows it, or as it is stored."""

from collections.abc import Sequence
from pathlib import Path

from medseg.data.config import DataSetConfig
from medseg.data.masks import check_sizes, has_one_ratio
from medseg.errors import RadiographError
from medseg.radiograph.image import Radiograph
from medseg.radiograph.raster import find_exif_orientation
from medseg.radiograph.read import read_radiograph

_FIRST_TRANSPOSED = 5
"""From this orientation on rows and columns change places."""


def lay_under(
    image: Path, radiograph: Radiograph, labels: Sequence[Path], size: Sequence[int], data: DataSetConfig
) -> Radiograph:
    """The `radiograph` that was read from `image`, read again as it is stored if its `labels` were drawn so.

    `labels` are the files of its masks, or its target, all of `size` `(rows, columns)`. Raises `RadiographError` where
    their size does not fit the image.
    """
    if _are_drawn_as_stored(image, radiograph, labels, size, data):
        radiograph = read_radiograph(image, **{**data.reading, "exif": "ignore"})
    check_sizes(image, radiograph.pixels.shape, labels[0], size)
    return radiograph


def _are_drawn_as_stored(
    image: Path, radiograph: Radiograph, labels: Sequence[Path], size: Sequence[int], data: DataSetConfig
) -> bool:
    """Whether a radiograph that was turned by its EXIF orientation must be turned back to lie under its labels.

    Labels with an EXIF orientation of their own were turned too; others are told by their size. Raises
    `RadiographError` where both readings fit and `data.exif` does not decide.
    """
    orientation, turned = radiograph.exif_orientation, radiograph.pixels.shape[:2]
    if orientation is None or data.exif is not None or all(find_exif_orientation(path) for path in labels):
        return False
    stored = turned[::-1] if orientation >= _FIRST_TRANSPOSED else turned
    if not has_one_ratio(stored, size):
        return False
    if has_one_ratio(turned, size):
        raise RadiographError(
            f"{image}: has EXIF orientation {orientation}, and its masks of {size[0]} x {size[1]} pixels fit both the "
            "turned and the stored image. Set data.exif=apply or data.exif=ignore",
            "exif",
        )
    return True
