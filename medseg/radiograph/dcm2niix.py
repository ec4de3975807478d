"""Row order of NIfTI files that dcm2niix wrote from DICOM files without an orientation."""

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
"""srow_x and srow_y after `dcm2niix -y n`, which keeps the DICOM row order."""


def find_rows(header: Any, file: BinaryIO) -> str | None:
    """Return the position of the first stored row, `bottom` or `top`, for a NIfTI file without orientation codes.

    Returns None if neither `descrip` nor the JSON file beside it shows that dcm2niix wrote the file.
    """
    descrip = header["descrip"].item().decode("latin-1")
    if not _DESCRIP.fullmatch(descrip) and not _has_sidecar(getattr(file, "name", None)):
        return None
    return "top" if (header["srow_x"].tolist(), header["srow_y"].tolist()) == _NOT_FLIPPED else "bottom"


def _has_sidecar(path: object) -> bool:
    """Return whether the JSON file beside `path` gives dcm2niix as ConversionSoftware."""
    if not isinstance(path, str | bytes) or not (match := re.fullmatch(r"(?is)(.+)\.nii(\.gz)?", os.fsdecode(path))):
        return False
    with suppress(RadiographError, ValueError, RecursionError), open_source(f"{match[1]}.json") as file:
        content = json.loads(file.read(_MAX_SIDECAR))
        return isinstance(content, dict) and content.get("ConversionSoftware") == "dcm2niix"
    return False
