"""Small compressed previews of cases, so that the previews of a whole data set fit into memory."""

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
    """Image and masks of a case as the network sees them; about 10 KB."""

    jpeg: bytes = b""
    """Grayscale JPEG, `(rows, columns)`."""
    shape: tuple[int, int, int] = (0, 0, 0)
    """Shape of the masks, `(class, rows, columns)`."""
    packed: bytes = b""

    def picture(self) -> NDArray[np.uint8]:
        """Return the image, `(rows, columns)`."""
        return np.asarray(Image.open(io.BytesIO(self.jpeg)))

    def masks(self) -> NDArray[np.bool_]:
        """Return the masks, bool `(class, rows, columns)`, at the size of the image."""
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits, count=int(np.prod(self.shape))).reshape(self.shape).astype(np.bool_)


def make_preview(view: NDArray[np.float32], masks: NDArray[np.bool_], longest: int = LONGEST) -> Preview:
    """Make a preview of an image `(rows, columns)` in [0, 1] and masks `(class, rows, columns)` of the same field.

    The preview has at most `longest` rows and columns.
    """
    scale = min(1.0, longest / max(view.shape))
    rows, columns = (max(1, round(scale * size)) for size in view.shape)
    gray = Image.fromarray(np.rint(view * 255).astype(np.uint8)).resize((columns, rows), Image.Resampling.BOX)
    stream = io.BytesIO()
    gray.save(stream, "JPEG", quality=85)
    small = [resize(mask.astype(np.float32), (rows, columns)) >= 0.5 for mask in masks]
    bits = np.packbits(np.array(small, np.bool_)).tobytes()
    return Preview(stream.getvalue(), (len(masks), rows, columns), zlib.compress(bits))


def resize(picture: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize an image `(rows, columns)`; each new pixel is the mean over its area."""
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX))
