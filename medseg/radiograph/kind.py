"""Supported file formats, and how to recognize the format of a file."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from medseg.errors import RadiographError
from medseg.radiograph.embedded import embeds_image
from medseg.radiograph.npy import is_numpy
from medseg.radiograph.raw import is_raw
from medseg.radiograph.source import open_source

_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


@dataclass(frozen=True)
class Kind:
    """One file format; its reader is in `read.READERS`."""

    name: str
    title: str
    extensions: tuple[str, ...] = ()
    """Extensions of this format. A file with such a name and other content is damaged."""
    suffixes: tuple[str, ...] = ()
    """Suffixes that decide if the content does not; the extensions if empty."""
    states: Callable[[bytes], bool] = lambda head: False
    """Whether the first 352 bytes prove this format; formats are tried in order."""
    fits: Callable[[BinaryIO, str | os.PathLike[str]], bool] = lambda file, path: False
    """Whether the name with size or content proves this format; used if the first bytes prove none."""
    suggests: Callable[[bytes], bool] = lambda head: False
    """Whether the first 352 bytes make this format likely."""
    states_polarity: bool = False
    """Whether the files state which end of their values is bright."""
    lossy: bool = False
    """Whether all files of this format are lossy; if False, the reader decides for each file."""


def _starting(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


def _states_nifti(head: bytes) -> bool:
    """Return whether header size and magic string are those of NIfTI-1 or NIfTI-2."""
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    return (348 in sizes and head[344:348] in (b"n+1\0", b"ni1\0")) or (
        540 in sizes and head[4:8] in (b"n+2\0", b"ni2\0")
    )


def _states_bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS


def starts_like_dicom(head: bytes) -> bool:
    """Return whether the bytes may be a data set without preamble: first an element of group 2 or 8, not too long."""
    little = head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0"
    big = head[:3] == b"\0\x08\0"
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return (little or big) and (explicit or int.from_bytes(head[4:8], "little") < 1 << 16)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "dicom",
            "DICOM",
            (".dcm", ".dicom", ".dic", ".ima"),
            ("", ".dcm", ".dicom", ".ima"),
            states=lambda head: head[128:132] == b"DICM",
            suggests=starts_like_dicom,
            states_polarity=True,
        ),
        Kind(
            "nifti",
            "NIfTI",
            (".nii", ".nii.gz"),
            (".nii", ".gz"),
            states=_states_nifti,
            suggests=_starting(b"\x1f\x8b"),
        ),
        Kind("png", "PNG", (".png",), states=_starting(b"\x89PNG\r\n\x1a\n")),
        Kind("jpeg", "JPEG", (".jpg", ".jpeg"), states=_starting(b"\xff\xd8\xff"), lossy=True),
        Kind("tiff", "TIFF", (".tif", ".tiff"), states=_starting(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        Kind("gif", "GIF", (".gif",), states=_starting(b"GIF87a", b"GIF89a")),
        Kind("bmp", "BMP", (".bmp",), states=_states_bmp),
        Kind("mha", "MHA", (".mha",), suggests=lambda head: head.lower().startswith((b"objecttype", b"ndims"))),
        Kind("nrrd", "NRRD", (".nrrd",), states=_starting(b"NRRD000")),
        Kind("numpy", "NumPy", (".npy", ".npz"), states=is_numpy),
        Kind("labelme", "LabelMe with an embedded image", fits=embeds_image),
        Kind("img", "the raw .IMG of JSRT", fits=is_raw, states_polarity=True),
    )
}
"""Formats by name. DICOM comes first, since its preamble may contain anything."""

EXTENSIONS = tuple(extension for kind in KINDS.values() for extension in kind.extensions)
"""Extensions of all image formats."""

_BY_SUFFIX = {suffix: kind.name for kind in KINDS.values() for suffix in kind.suffixes or kind.extensions}


def identify_kind(path: str | os.PathLike[str]) -> str:
    """Return the format of a file (see `Radiograph.kind`), by its content, else by its extension.

    Raises `RadiographError` if the format is not supported or the file cannot be opened.
    """
    with open_source(path) as file:
        return identify(file, path)


def identify(file: BinaryIO, path: str | os.PathLike[str]) -> str:
    """Return the format of an open file; `path` gives the extension. Raises `RadiographError` if not supported."""
    file.seek(0)
    head = file.read(352)
    named = _BY_SUFFIX.get(Path(os.fsdecode(path)).suffix.lower())
    fitting = (kind.name for kind in KINDS.values() if kind.fits(file, path))
    suggested = (kind.name for kind in KINDS.values() if kind.suggests(head))
    found = identify_content(head) or next(fitting, None) or next(suggested, named)
    if found is None:
        *titles, last = (kind.title for kind in KINDS.values())
        raise RadiographError(f"is not in a supported format: {', '.join(titles)} or {last}", "not-an-image")
    return found


def identify_content(head: bytes) -> str | None:
    """Return the format that the first 352 bytes of a file prove, or None."""
    return next((kind.name for kind in KINDS.values() if kind.states(head)), None)
