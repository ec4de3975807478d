"""Small pictures of cases, packed, so that those of a whole data set fit into memory."""

import io
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST = 256
"""The greatest number of rows or columns of a preview."""


@dataclass(frozen=True, eq=False)
class Preview:
    """What the network sees of a case: the picture, and its masks; some 10 KB."""

    jpeg: bytes = b""
    """Grey, `(rows, columns)`."""
    shape: tuple[int, int, int] = (0, 0, 0)
    """Of the masks, `(class, rows, columns)`."""
    packed: bytes = b""

    def picture(self) -> NDArray[np.uint8]:
        """The picture, `(rows, columns)`."""
        return np.asarray(Image.open(io.BytesIO(self.jpeg)))

    def masks(self) -> NDArray[np.bool_]:
        """The masks, bool `(class, rows, columns)`, at the size of the picture."""
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits, count=int(np.prod(self.shape))).reshape(self.shape).astype(np.bool_)


def make_preview(view: NDArray[np.float32], masks: NDArray[np.bool_], longest: int = LONGEST) -> Preview:
    """A preview of a picture `(rows, columns)` in [0, 1] and masks `(class, rows, columns)` of the same field.

    It has at most `longest` rows and columns.
    """
    scale = min(1.0, longest / max(view.shape))
    rows, columns = (max(1, round(scale * size)) for size in view.shape)
    grey = Image.fromarray(np.rint(view * 255).astype(np.uint8)).resize((columns, rows), Image.Resampling.BOX)
    stream = io.BytesIO()
    grey.save(stream, "JPEG", quality=85)
    small = [resize(mask.astype(np.float32), (rows, columns)) >= 0.5 for mask in masks]
    bits = np.packbits(np.array(small, np.bool_)).tobytes()
    return Preview(stream.getvalue(), (len(masks), rows, columns), zlib.compress(bits))


def resize(picture: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A picture `(rows, columns)` at another size, by the mean over what falls into each pixel."""
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX))
