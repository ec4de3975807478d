"""What kind of file a path leads to."""

import os
from pathlib import Path
from typing import BinaryIO

from medseg.errors import RadiographError
from medseg.radiograph.raw import is_raw
from medseg.radiograph.source import open_source

_SUFFIXES = {
    ".dcm": "dicom",
    ".dicom": "dicom",
    ".ima": "dicom",
    "": "dicom",
    ".nii": "nifti",
    ".gz": "nifti",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".gif": "gif",
    ".bmp": "bmp",
    ".mha": "mha",
    ".nrrd": "nrrd",
}
_NAMES = "DICOM, NIfTI, PNG, JPEG, TIFF, GIF, BMP, MHA, NRRD and the raw .IMG of JSRT"
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


def identify_kind(path: str | os.PathLike[str]) -> str:
    """The kind of a file, as `Radiograph.kind` has it, by content first, by extension where that says nothing.

    Raises `RadiographError` for what is none of them or cannot be opened.
    """
    with open_source(path) as file:
        return identify(file, path)


def identify(file: BinaryIO, path: str | os.PathLike[str]) -> str:
    """The kind of an open file; `path` gives the extension. Raises `RadiographError` where it is none that is read."""
    file.seek(0)
    head = file.read(352)
    suffix = Path(os.fsdecode(path)).suffix.lower()
    certain = identify_content(head)
    if certain is not None:
        return certain
    if is_raw(file, path):
        return "img"
    if head[:2] == b"\x1f\x8b":
        return "nifti"
    if head.lower().startswith((b"objecttype", b"ndims")):
        return "mha"
    if starts_like_dicom(head):
        return "dicom"
    if suffix not in _SUFFIXES:
        raise RadiographError(f"is none of the formats that are read: {_NAMES}", "not-an-image")
    return _SUFFIXES[suffix]


def identify_content(head: bytes) -> str | None:
    """The kind that the first 352 bytes of a file state beyond doubt, else None."""
    if head[128:132] == b"DICM":
        return "dicom"
    for kind, starts in {
        "png": (b"\x89PNG\r\n\x1a\n",),
        "jpeg": (b"\xff\xd8\xff",),
        "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "gif": (b"GIF87a", b"GIF89a"),
        "nrrd": (b"NRRD000",),
    }.items():
        if head.startswith(starts):
            return kind
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    return None


def starts_like_dicom(head: bytes) -> bool:
    """Whether the bytes can be a data set without preamble: an element of group 2 or 8 first, of moderate length."""
    little = head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0"
    big = head[:3] == b"\0\x08\0"
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return (little or big) and (explicit or int.from_bytes(head[4:8], "little") < 1 << 16)
