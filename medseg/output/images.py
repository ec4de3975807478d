"""Masks as PNG and NIfTI files, marked as output of this program."""

import zlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.atomic import open_atomically
from medseg.errors import StorageError
from medseg.notice import RESEARCH_USE
from medseg.output.png import encode_mask

if TYPE_CHECKING:
    from medseg.radiograph.orientation import Place

OWN_SOFTWARE = "medseg"
"""Value of the PNG keyword Software in masks and overlays. No other program uses it."""
OWN_TEXT = {"Software": OWN_SOFTWARE, "Description": RESEARCH_USE}
OWN_DESCRIPTION = f"{OWN_SOFTWARE}; research use only"
"""Value of the NIfTI header field `descrip`, which has 80 bytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = 4096
_NIFTI_HEADER = 352
_DESCRIP = slice(148, 228)


def write_mask_png(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask `(rows, columns)` as the article does: 8-bit grayscale, background 0, foreground 255.

    The same mask gives the same bytes. Raises `StorageError`.
    """
    write_png(path, format_mask_png(mask))


def format_mask_png(mask: NDArray[np.bool_]) -> bytes:
    """The content of the file that `write_mask_png` writes."""
    return encode_mask(mask, OWN_TEXT)


def write_png(path: Path, content: bytes) -> None:
    """Write the file of a mask. Raises `StorageError`."""
    with open_atomically(path) as file:
        file.write(content)


def write_mask_nifti(
    path: Path, mask: NDArray[np.bool_], spacing_mm: tuple[float, float] | None, place: "Place | None" = None
) -> None:
    """Write a mask `(rows, columns)` as `.nii.gz` with the values 0 and 1 and the pixel spacing `(row, column)` in mm.

    With `place`, it lies there in space. The same mask gives the same bytes. The file is read back for verification,
    and removed if it differs. Raises `StorageError`.
    """
    from medseg.radiograph.nifti import build_nifti

    image = build_nifti(mask, spacing_mm, place)
    image.header["descrip"] = OWN_DESCRIPTION.encode()
    packer = zlib.compressobj(1, wbits=31, strategy=zlib.Z_RLE)  # gzip without file name and time
    with open_atomically(path) as file:
        file.write(packer.compress(image.to_bytes()) + packer.flush())
    _verify(path, mask, image)


def is_own_png(file: BinaryIO) -> bool:
    """Whether an open PNG file is a mask or an overlay written by this program. False if it is damaged."""
    file.seek(0)
    own = (b"tEXt", f"Software\0{OWN_SOFTWARE}".encode())
    return own in _chunks(file.read(_HEAD))


def is_own_nifti(file: BinaryIO) -> bool:
    """Whether an open NIfTI file is a mask written by this program. False if it is damaged."""
    file.seek(0)
    head = file.read(_HEAD)
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, _NIFTI_HEADER)
        except zlib.error:
            return False
    return head[_DESCRIP].rstrip(b"\0") == OWN_DESCRIPTION.encode()


def _chunks(head: bytes) -> list[tuple[bytes, bytes]]:
    """Name and data of the chunks that are complete in the first bytes `head` of a PNG file."""
    chunks = []
    at = len(_PNG) if head.startswith(_PNG) else len(head)
    while (end := at + 8 + int.from_bytes(head[at : at + 4])) < len(head):
        chunks.append((head[at + 4 : at + 8], head[at + 8 : end]))
        at = end + 4  # skip the checksum
    return chunks


def _verify(path: Path, mask: NDArray[np.bool_], written: Any) -> None:
    """Read the file at `path` back. If it differs from what was written, remove it and raise `StorageError`."""
    nibabel: Any = import_module("nibabel")
    damage = (
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
        nibabel.wrapstruct.WrapStructError,
    )
    try:
        read = nibabel.Nifti1Image.from_filename(path)
        same = (
            np.array_equal(np.asarray(read.dataobj).T, mask)
            and np.array_equal(read.affine, written.affine)
            and read.header.get_zooms() == written.header.get_zooms()
        )
    except (OSError, EOFError, ValueError, zlib.error, *damage):
        same = False
    if not same:
        path.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: verification failed: the file differs from what was written; the disk may be failing"
        )
