"""Raw images of the JSRT database, which have no header: only file name and size identify them."""

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
"""Pixel spacing on the film, as documented for the database."""


def is_raw(file: BinaryIO, path: str | os.PathLike[str]) -> bool:
    """Return whether a file has the name `*.IMG` and the exact size of a JSRT image."""
    return Path(os.fsdecode(path)).suffix.lower() == ".img" and file.seek(0, os.SEEK_END) == 2 * RAW_SIZE**2


def read_raw(file: BinaryIO) -> NDArray[Any]:
    """Read `(2048, 2048)` values of 12 bits, bright is dense.

    The file stores optical density as big-endian numbers, so that black is high. Raises `RadiographError` for the
    data file of an Analyze or NIfTI pair, and for values of more than 12 bits.
    """
    path = Path(os.fsdecode(file.name))
    if any(path.with_suffix(suffix).exists() for suffix in (".hdr", ".HDR")):
        raise RadiographError("is half of an Analyze or NIfTI pair (.hdr and .img), but a single file is needed")
    file.seek(0)
    stored = np.frombuffer(file.read(), ">u2").reshape(RAW_SIZE, RAW_SIZE).astype(np.uint16)
    if stored.max() > _TOP:
        raise RadiographError(
            f"contains the value {stored.max()}, but raw JSRT images are big-endian with values up to {_TOP}"
        )
    return _TOP - stored
