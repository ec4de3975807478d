"""The raw images of the JSRT database, which say nothing of themselves but by their name and size."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError

RAW_SIZE = 2048
"""Rows and columns."""
_TOP = 4095
SPACING_MM = (0.175, 0.175)
"""Of the film, as the database states it."""


def is_raw(file: BinaryIO, path: str | os.PathLike[str]) -> bool:
    """Whether a file has the name `*.IMG` and the exact size of a JSRT image."""
    return Path(os.fsdecode(path)).suffix.lower() == ".img" and file.seek(0, os.SEEK_END) == 2 * RAW_SIZE**2


def read_raw(file: BinaryIO) -> NDArray[Any]:
    """`(2048, 2048)` of 12 bits, bright is dense: the file stores optical density, big-endian, so that black is high.

    Raises `RadiographError` for the data of an Analyze or NIfTI pair, and for values that have more bits.
    """
    path = Path(os.fsdecode(file.name))
    if any(path.with_suffix(suffix).exists() for suffix in (".hdr", ".HDR")):
        raise RadiographError("is half of an Analyze or NIfTI pair (.hdr and .img); a single file is needed")
    file.seek(0)
    stored = np.frombuffer(file.read(), ">u2").reshape(RAW_SIZE, RAW_SIZE).astype(np.uint16)
    if stored.max() > _TOP:
        raise RadiographError(
            f"holds the value {stored.max()}; a raw image of JSRT is big-endian and holds at most {_TOP}"
        )
    return _TOP - stored
