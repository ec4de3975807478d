"""One codestream of every encapsulated transfer syntax, and what an independent decoder makes of it."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.encaps import get_frame

from tests.support.dicom_files import HTJ2K_FRAME, JPEG12_FRAME, encode_lossless_jpeg, phantom, write_dicom

BYTES = (phantom() >> 4).astype(np.uint8)
EOI = b"\xff\xd9"


@dataclass(frozen=True)
class Frame:
    """A codestream that ends with its end marker, if its family has one."""

    syntax: uid.UID
    data: bytes
    pixels: np.ndarray
    """The pixels that went in."""
    decoded: np.ndarray
    """The pixels that come out."""


def compress(pixels: np.ndarray, syntax: uid.UID, options: dict[str, Any], **tags: Any) -> Frame:
    """`pixels` compressed and decoded by pydicom's plugins."""
    file = io.BytesIO()
    write_dicom(file, pixels, syntax=syntax, compress=options, **tags)  # type: ignore[arg-type]
    file.seek(0)
    dataset = pydicom.dcmread(file)
    data = get_frame(dataset.PixelData, 0, number_of_frames=1)
    end = len(data) if syntax == uid.RLELossless else data.rindex(EOI) + 2
    return Frame(syntax, data[:end], pixels, dataset.pixel_array)


def jpeg(pixels: np.ndarray = BYTES, **options: Any) -> Frame:
    """`pixels` compressed and decoded by Pillow."""
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", **options)
    return Frame(uid.JPEGBaseline8Bit, file.getvalue(), pixels, np.asarray(Image.open(file)))


def frames() -> dict[str, Frame]:
    """Lossless ones give back what went in."""
    p, small = phantom(), phantom(24, 20)
    return {
        "jpeg": jpeg(),
        "progressive": jpeg(progressive=True),
        "lossless": Frame(uid.JPEGLosslessSV1, encode_lossless_jpeg(p, 12), p, p),
        "jpegls": compress(p, uid.JPEGLSLossless, {"encoding_plugin": "pyjpegls"}),
        "near": compress(p, uid.JPEGLSNearLossless, {"encoding_plugin": "pyjpegls", "jls_error": 2}),
        "j2k": compress(p, uid.JPEG2000Lossless, {"encoding_plugin": "pylibjpeg"}),
        "j2k-lossy": compress(p, uid.JPEG2000, {"encoding_plugin": "pylibjpeg", "j2k_psnr": [80]}),
        "htj2k": Frame(uid.HTJ2KLossless, HTJ2K_FRAME, small, small),
        "rle": compress(p, uid.RLELossless, {"encoding_plugin": "pydicom"}),
    }


FRAMES = frames()
TWELVE_BITS = Frame(uid.JPEGExtended12Bit, JPEG12_FRAME, phantom(24, 20), phantom(24, 20))
"""`decoded` within 2."""
