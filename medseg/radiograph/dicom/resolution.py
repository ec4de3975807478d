"""Decoding of a JPEG 2000 at a lower resolution: the finer levels of its wavelet are not decoded."""

from io import BytesIO
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medseg.radiograph.dicom.codestream import Codestream, find_jpeg2000_start
from medseg.radiograph.dicom.header import PixelFormat
from medseg.radiograph.dicom.stored import Cells
from medseg.radiograph.source import BROKEN_BYTES

_MAX_BITS = 16  # of a sample in Pillow


def decode_reduced(frame: bytes, stream: Codestream, form: PixelFormat, reduce: int) -> Cells | None:
    """Decode the pixel cells of a gray JPEG 2000 with rows and columns halved `reduce` times, rounded up.

    They are halved less often if the codestream has fewer levels. The low-pass filters are centered on the even pixels
    (ITU-T T.800 F.3), so the cells show every `2**reduce`-th pixel and its surroundings, from the first pixel on.

    None if nothing can be left out, if the wavelet has mixed more than gray values (bits outside of BitsStored, or a
    sign that the codestream does not know), or if decoding fails: the whole decoding then gives the error.
    """
    reduce = min(reduce, stream.levels)
    if reduce < 1 or form.samples > 1 or stream.signed != form.signed or stream.precision > _MAX_BITS:
        return None
    try:
        values = _decode(frame[find_jpeg2000_start(frame) :], _shrink((form.columns, form.rows), reduce), reduce)
    except BROKEN_BYTES:
        return None
    values = values >> (8 * values.itemsize - stream.precision)  # Pillow fills bytes from the highest bit
    if stream.signed:
        values = values.astype(np.int32) - (1 << stream.precision - 1)
    least, greatest = form.stored_range
    if values.min() < least or values.max() > greatest:
        return None
    return Cells(values, stream.precision, stream.signed, stream.lossy)


def _decode(coded: bytes, size: tuple[int, int], reduce: int) -> NDArray[np.integer[Any]]:
    """Decode by Pillow's plugin, but to the `size` (columns, rows) of the codestream; Pillow rounds to the nearest."""
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    image = Jpeg2KImageFile(BytesIO(coded))
    codec, _, *others = cast("tuple[Any, ...]", image.tile[0].args)
    image._size = size
    image.tile = [image.tile[0]._replace(extents=(0, 0, *size), args=(codec, reduce, *others))]
    return np.asarray(image)


def find_reduction(size: tuple[int, int], reduced: tuple[int, ...]) -> int:
    """Return the power of two by which `reduced` is smaller than `size`."""
    return next(1 << reduce for reduce in range(32) if _shrink(size, reduce) == reduced)


def _shrink(size: tuple[int, int], reduce: int) -> tuple[int, int]:
    return -(-size[0] >> reduce), -(-size[1] >> reduce)
