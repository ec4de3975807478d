"""Encapsulated pixel data (PS3.5 A.4): an offset table and the fragments of one frame or several, each in an item."""

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
"""How a JPEG, a JPEG 2000, a JP2 and an RLE of 8 or 16 bits start, and no offset table that tells the truth."""


def read_pixel_data(file: BinaryIO) -> DataElement:
    """The items from the position of `file` on, the last as far as the file goes, and the delimiter if there is one.

    Items end at whatever is neither: some writers leave the delimiter out, some disks leave zeros in its place. Raises
    `RadiographError` where there is no item.
    """
    start = end = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    while len(head := file.read(8)) == 8 and head.startswith(_ITEM):
        end = file.seek(min(end + 8 + int.from_bytes(head[4:], "little"), size))
    if end == start:
        raise RadiographError("PixelData has neither a length nor fragments")
    end += len(_SEQUENCE_END) if head.startswith(_SEQUENCE_END) else 0
    file.seek(start)
    return DataElement("PixelData", "OB", file.read(end - start), is_undefined_length=True)


def read_frames(dataset: Dataset, count: int, warnings: list[str]) -> list[bytes]:
    """The codestreams of the `count` frames of encapsulated pixel data. Raises `RadiographError`.

    Where each frame can be told without the offset table, the table is not believed.
    """
    element = dataset["PixelData"]
    items, closed = _split_items(element.value)
    if not items:
        raise RadiographError("PixelData holds no fragments, which the transfer syntax needs")
    if element.is_undefined_length and not closed:
        warnings.append("PixelData ends without a Sequence Delimitation Item; the fragments that are there were read")
    has_table = len(items) > 1 and not items[0].startswith(_CODESTREAMS)
    fragments = items[1:] if has_table else items
    if not has_table:
        warnings.append("PixelData starts without an offset table")
    if count == 1:
        if has_table and items[0] not in (b"", bytes(4)):
            warnings.append("the offset table of PixelData does not fit its only frame and was ignored")
        return [b"".join(fragments)]
    if len(fragments) == count:
        return fragments
    with refusing("the frames of PixelData cannot be told apart"):
        return list(generate_frames(element.value, number_of_frames=count))


def _split_items(data: bytes) -> tuple[list[bytes], bool]:
    """The values of the items, and whether a delimiter closes them."""
    values, position = [], 0
    while data.startswith(_ITEM, position):
        start = position + 8
        position = start + int.from_bytes(data[position + 4 : start], "little")
        values.append(data[start:position])
    return values, data.startswith(_SEQUENCE_END, position)
