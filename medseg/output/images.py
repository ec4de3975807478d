"""Masks as PNG files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.tracking.pictures import write_png


def write_mask_png(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask `(rows, columns)` as the article does: 8-bit grey, 0 background and 255 foreground.

    Raises `StorageError`.
    """
    write_png(path, mask.astype(np.uint8) * 255)
