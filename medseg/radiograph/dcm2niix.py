"""What dcm2niix leaves behind: which end it stores rows from where DICOM gave it no orientation."""

import json
import os
import re
from contextlib import suppress
from typing import Any, BinaryIO

from medseg.errors import RadiographError
from medseg.radiograph.source import open_source

_DESCRIP = re.compile(r"(TE=[0-9.e+-]+;)?Time=[0-9]+\.[0-9]{3}([; ].*)?")
_MAX_SIDECAR = 1 << 20
_NOT_FLIPPED = ([1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0])
"""srow_x and srow_y of its `-y n`, which keeps the rows as DICOM has them."""


def find_rows(header: Any, file: BinaryIO) -> str | None:
    """`bottom` or `top`, the end that rows are stored from in a NIfTI file without orientation codes.

    None for a file that dcm2niix did not write, as its `descrip` says, or the JSON file beside it.
    """
    descrip = header["descrip"].item().decode("latin-1")
    if not _DESCRIP.fullmatch(descrip) and not _has_sidecar(getattr(file, "name", None)):
        return None
    return "top" if (header["srow_x"].tolist(), header["srow_y"].tolist()) == _NOT_FLIPPED else "bottom"


def _has_sidecar(path: object) -> bool:
    """Whether a JSON file beside the one at `path` names dcm2niix as its ConversionSoftware."""
    if not isinstance(path, str | bytes) or not (match := re.fullmatch(r"(?is)(.+)\.nii(\.gz)?", os.fsdecode(path))):
        return False
    with suppress(RadiographError, ValueError, RecursionError), open_source(f"{match[1]}.json") as file:
        content = json.loads(file.read(_MAX_SIDECAR))
        return isinstance(content, dict) and content.get("ConversionSoftware") == "dcm2niix"
    return False
