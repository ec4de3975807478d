"""The codestream of one frame: comparison with the tags, and removal of bytes after its end."""

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from medseg.errors import RadiographError
from medseg.radiograph.dicom.codestream import (
    JPEG_LS,
    LOSSLESS_JPEG,
    Codestream,
    check_jpeg_length,
    find_jpeg2000_end,
    find_jpeg_end,
    scan_jpeg,
    scan_jpeg2000,
)
from medseg.radiograph.dicom.header import PixelFormat

_PROCESSES = {
    JPEGBaseline8Bit: (0xC0, 0xC1, 0xC2),
    JPEGExtended12Bit: (0xC0, 0xC1, 0xC2),
    JPEGLossless: (LOSSLESS_JPEG,),
    JPEGLosslessSV1: (LOSSLESS_JPEG,),
    JPEGLSLossless: (JPEG_LS,),
    JPEGLSNearLossless: (JPEG_LS,),
}
"""Transfer syntax -> allowed start-of-frame markers."""

JPEG_SYNTAXES = tuple(_PROCESSES)
JPEG2000_SYNTAXES = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)


def trim_frame(frame: bytes, form: PixelFormat, warnings: list[str]) -> tuple[bytes, Codestream]:
    """Return the codestream without the bytes after its end, and its header.

    Raises `RadiographError` if the header contradicts the tags or the codestream is cut short.
    """
    if form.transfer_syntax not in (*JPEG_SYNTAXES, *JPEG2000_SYNTAXES):
        most = 2 * form.rows * form.columns * form.samples * form.allocated // 8 + 64
        if len(frame) > most:
            warnings.append("bytes after the end of the RLE data were ignored")
        return frame[:most], Codestream(form.rows, form.columns, form.samples, form.allocated, False, 0, lossy=False)
    is_jpeg = form.transfer_syntax in JPEG_SYNTAXES
    stream = scan_jpeg(frame) if is_jpeg else scan_jpeg2000(frame)
    _check_stream(stream, form)
    end = find_jpeg_end(frame) if is_jpeg else find_jpeg2000_end(frame)
    if frame[end:].strip(b"\x00\xff"):
        warnings.append("bytes after the end marker of the compressed image were ignored")
    if is_jpeg and stream.process != JPEG_LS:
        check_jpeg_length(end, form.rows, form.columns, lossless=not stream.lossy)
    return frame[:end], stream


def _check_stream(stream: Codestream, form: PixelFormat) -> None:
    """Raise `RadiographError` if a codestream contradicts the tags."""
    if stream.process not in _PROCESSES.get(form.transfer_syntax, (stream.process,)):
        raise RadiographError(
            f"TransferSyntaxUID is {form.transfer_syntax.name}, but the compressed data have another format"
        )
    if (stream.rows, stream.columns) != (form.rows, form.columns):
        raise RadiographError(
            f"the codestream has {stream.rows} x {stream.columns} pixels, but Rows and Columns say "
            f"{form.rows} x {form.columns}"
        )
    if stream.components != form.samples:
        raise RadiographError(
            f"the codestream has {stream.components} components, but SamplesPerPixel is {form.samples}"
        )
    if not 1 <= stream.precision <= form.allocated:
        raise RadiographError(f"the codestream has {stream.precision} bits, but BitsAllocated is {form.allocated}")
    if stream.signed and not form.signed:
        raise RadiographError("the codestream is signed, but PixelRepresentation says unsigned")
