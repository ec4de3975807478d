"""Encapsulated pixel data (PS3.5 A.4): items with an offset table and the fragments of one or several frames."""

import os
from typing import BinaryIO

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from medseg.errors import RadiographError
from medseg.radiograph.source import refusing

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_CODESTREAMS = (
    *(b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "),
    *(bytes([segments, 0, 0, 0, 64, 0, 0, 0]) for segments in (1, 2, 3, 6)),
)
"""First bytes of a JPEG, JPEG 2000, JP2, or RLE with 8 or 16 bits. No valid offset table starts with them."""


def read_pixel_data(file: BinaryIO) -> DataElement:
    """Read the items from the position of `file` on, and the delimiter if present; the last item may be cut short.

    The items end at the first bytes that are neither item nor delimiter: some writers omit the delimiter, and failing
    disks replace it with zeros. Raises `RadiographError` if there is no item.
    """
    start = end = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    while len(head := file.read(8)) == 8 and head.startswith(_ITEM):
        end = file.seek(min(end + 8 + int.from_bytes(head[4:], "little"), size))
    if end == start:
        raise RadiographError("PixelData has no length and no fragments")
    end += len(_SEQUENCE_END) if head.startswith(_SEQUENCE_END) else 0
    file.seek(start)
    return DataElement("PixelData", "OB", file.read(end - start), is_undefined_length=True)


def read_frames(dataset: Dataset, count: int, warnings: list[str]) -> list[bytes]:
    """Return the codestreams of the `count` frames of encapsulated pixel data. Raises `RadiographError`.

    The offset table is used only if the frames cannot be separated without it.
    """
    element = dataset["PixelData"]
    items, closed = _split_items(element.value)
    if not items:
        raise RadiographError("PixelData contains no fragments, but the transfer syntax needs them")
    if element.is_undefined_length and not closed:
        warnings.append("PixelData has no Sequence Delimitation Item at its end; all its fragments were read")
    has_table = len(items) > 1 and not items[0].startswith(_CODESTREAMS)
    fragments = items[1:] if has_table else items
    if not has_table:
        warnings.append("PixelData has no offset table")
    if count == 1:
        if has_table and items[0] not in (b"", bytes(4)):
            warnings.append("the offset table of PixelData does not fit its only frame and was ignored")
        return [b"".join(fragments)]
    if len(fragments) == count:
        return fragments
    with refusing("the frames of PixelData cannot be separated"):
        return list(generate_frames(element.value, number_of_frames=count))


def _split_items(data: bytes) -> tuple[list[bytes], bool]:
    """Return the values of the items, and whether a delimiter follows them."""
    values, position = [], 0
    while data.startswith(_ITEM, position):
        start = position + 8
        position = start + int.from_bytes(data[position + 4 : start], "little")
        values.append(data[start:position])
    return values, data.startswith(_SEQUENCE_END, position)
