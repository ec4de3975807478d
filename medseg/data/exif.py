"""The choice between the turned and the stored image, for images with an EXIF orientation, by the size of the masks."""

from collections.abc import Sequence
from pathlib import Path

from medseg.data.config import DataSetConfig
from medseg.data.masks import check_sizes, has_one_ratio
from medseg.errors import RadiographError
from medseg.radiograph.image import Radiograph
from medseg.radiograph.raster import find_exif_orientation
from medseg.radiograph.read import read_radiograph

_FIRST_TRANSPOSED = 5
"""First EXIF orientation that exchanges rows and columns."""


def lay_under(
    image: Path, radiograph: Radiograph, labels: Sequence[Path], size: Sequence[int], data: DataSetConfig
) -> Radiograph:
    """Return the `radiograph` of file `image`; if its `labels` were drawn on the stored image, read it as stored.

    `labels` are the mask files or the target file, all of `size` `(rows, columns)`. Raises `RadiographError` if their
    size does not fit the image.
    """
    if _are_drawn_as_stored(image, radiograph, labels, size, data):
        radiograph = read_radiograph(image, **{**data.reading, "exif": "ignore"})
    check_sizes(image, radiograph.pixels.shape, labels[0], size)
    return radiograph


def _are_drawn_as_stored(
    image: Path, radiograph: Radiograph, labels: Sequence[Path], size: Sequence[int], data: DataSetConfig
) -> bool:
    """Return whether the labels were drawn on the stored image, not on the image turned by its EXIF orientation.

    Labels with their own EXIF orientation were turned too; for other labels the size decides. Raises `RadiographError`
    if both images fit and `data.exif` does not decide.
    """
    orientation, turned = radiograph.exif_orientation, radiograph.pixels.shape[:2]
    if orientation is None or data.exif is not None or all(find_exif_orientation(path) for path in labels):
        return False
    stored = turned[::-1] if orientation >= _FIRST_TRANSPOSED else turned
    if not has_one_ratio(stored, size):
        return False
    if has_one_ratio(turned, size):
        raise RadiographError(
            f"{image}: the image has EXIF orientation {orientation}, and its masks ({size[0]} x {size[1]} pixels) fit "
            "both the turned and the stored image. Set data.exif=apply or data.exif=ignore",
            "exif",
        )
    return True
