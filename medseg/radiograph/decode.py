"""The stored values of a DICOM picture, from whatever transfer syntax they lie in."""

from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from medseg.errors import RadiographError
from medseg.radiograph.codestream import Codestream, check_end, check_jpeg_length, check_tiles, scan_jpeg, scan_jpeg2000
from medseg.radiograph.header import PixelFormat
from medseg.radiograph.source import copy_of, refusing

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless)
_JPEG2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)

LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
"""Transfer syntaxes that may lose information (PS3.5 A.4)."""

_PLUGINS = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    **dict.fromkeys(_JPEG2000, "pylibjpeg"),
    RLELossless: "pydicom",  # the one of pylibjpeg panics on damaged bytes
}
"""The pydicom plugin for each transfer syntax: named, so that what else is installed changes nothing."""

_DECODER_BYTES = 16  # of memory that a pixel needs, no more than what comes after needs anyway
_LOSSLESS_JPEG, _JPEG_LS = 0xC3, 0xF7
_PROCESSES = {
    JPEGBaseline8Bit: (0xC0, 0xC1, 0xC2),
    JPEGExtended12Bit: (0xC0, 0xC1, 0xC2),
    JPEGLossless: (_LOSSLESS_JPEG,),
    JPEGLosslessSV1: (_LOSSLESS_JPEG,),
    JPEGLSLossless: (_JPEG_LS,),
    JPEGLSNearLossless: (_JPEG_LS,),
}
"""The start-of-frame markers that go with a transfer syntax."""

Cells = NDArray[np.integer[Any]]


def decode_stored(dataset: Dataset, form: PixelFormat, warnings: list[str]) -> NDArray[np.integer[Any]]:
    """The stored values `(rows, columns)` of a grey picture, overlay bits masked off and the sign extended.

    Unsigned ones may be the bytes of the file themselves. Raises `RadiographError` for a transfer syntax that cannot be
    read, a codestream that contradicts the tags, and data that end early.
    """
    _check_syntax(form.transfer_syntax)
    if form.transfer_syntax in _NATIVE:
        cells, shift = _native_cells(dataset, form, warnings), form.high_bit + 1 - form.stored
    else:
        cells, precision = _decode_frame(_frame(dataset, form), form)
        shift = form.high_bit + 1 - form.stored if precision > form.stored else 0
    if form.signed:
        cells = cells.astype("int64" if form.allocated > 16 else "int32")
    stored, mask = cells >> shift if shift else cells, (1 << form.stored) - 1
    if form.stored < 8 * stored.itemsize:
        if not form.signed and stored.max() > mask:
            warnings.append("bits above BitsStored were set and masked off")
        stored = stored & mask
    return stored - ((stored >> (form.stored - 1)) << form.stored) if form.signed else stored


def decode_colour(dataset: Dataset, form: PixelFormat) -> NDArray[Any]:
    """The picture `(rows, columns, 3)` as red, green and blue; YBR is converted. Raises `RadiographError`."""
    return _decode_whole(dataset, form, 1, raw=False).reshape(form.rows, form.columns, 3)


def decode_frames(dataset: Dataset, form: PixelFormat, count: int) -> NDArray[Any]:
    """The `count` frames `(frame, rows, columns)` of a segmentation as stored. Raises `RadiographError`."""
    return _decode_whole(dataset, form, count, raw=True).reshape(count, form.rows, form.columns)


def scan_frame(frame: bytes, form: PixelFormat) -> int:
    """Bits of one sample in the codestream, once it is known to agree with the tags. Raises `RadiographError`."""
    if form.transfer_syntax in _JPEG:
        scan: Callable[[bytes], Codestream] = scan_jpeg
    elif form.transfer_syntax in _JPEG2000:
        scan = scan_jpeg2000
    else:
        if len(frame) > 2 * form.rows * form.columns * form.samples * form.allocated // 8 + 64:
            raise RadiographError("the RLE data are longer than the picture they should hold")
        return form.allocated
    stream = scan(frame)
    if stream.process not in _PROCESSES.get(form.transfer_syntax, (stream.process,)):
        raise RadiographError(f"the codestream is not {form.transfer_syntax.name}, as the transfer syntax says")
    if (stream.rows, stream.columns) != (form.rows, form.columns):
        raise RadiographError(
            f"the codestream has {stream.rows} x {stream.columns} pixels, Rows and Columns say "
            f"{form.rows} x {form.columns}"
        )
    if stream.components != form.samples:
        raise RadiographError(f"the codestream has {stream.components} components, SamplesPerPixel is {form.samples}")
    if not 1 <= stream.precision <= form.allocated:
        raise RadiographError(f"the codestream has {stream.precision} bits, BitsAllocated is {form.allocated}")
    if stream.signed and not form.signed:
        raise RadiographError("the codestream is signed, PixelRepresentation says unsigned")
    check_end(frame)
    if form.transfer_syntax in _JPEG2000:
        check_tiles(frame)
    elif stream.process != _JPEG_LS:
        check_jpeg_length(len(frame), form.rows, form.columns, lossless=stream.process == _LOSSLESS_JPEG)
    return stream.precision


def _check_syntax(syntax: UID) -> None:
    """Raise `RadiographError` for a transfer syntax that cannot be read; a private one is not quoted."""
    if syntax not in (*_NATIVE, *_JPEG, *_JPEG2000, RLELossless):
        known = syntax.name != syntax or syntax.startswith("1.2.840.10008.1.2.")
        raise RadiographError(f"TransferSyntaxUID is {syntax.name if known else 'private'}, which is not supported")


def _decode_whole(dataset: Dataset, form: PixelFormat, count: int, raw: bool) -> NDArray[Any]:
    _check_syntax(form.transfer_syntax)
    options: Any = {"number_of_frames": count}
    name = form.transfer_syntax.name
    with refusing(f"the {name} pixel data cannot be decoded"):
        if form.transfer_syntax not in _NATIVE:
            for frame in generate_frames(dataset.PixelData, number_of_frames=count):
                scan_frame(frame, form)
            if form.transfer_syntax not in _PLUGINS:
                raise RadiographError(f"more than one grey picture in transfer syntax {name} is not supported")
            options["decoding_plugin"] = _PLUGINS[form.transfer_syntax]
        pixels = get_decoder(form.transfer_syntax).as_array(dataset, raw=raw, **options)[0]
        if pixels.size != count * form.rows * form.columns * form.samples:
            raise RadiographError("the pixel data do not have the size that the tags state")
        return pixels


def _native_cells(dataset: Dataset, form: PixelFormat, warnings: list[str]) -> Cells:
    """Uncompressed pixel cells. More data than one picture needs leave a warning; the first picture counts."""
    element = dataset["PixelData"]
    if element.is_undefined_length:
        raise RadiographError("PixelData is encapsulated although the transfer syntax is uncompressed")
    big_endian = form.transfer_syntax == ExplicitVRBigEndian
    expected = form.rows * form.columns * form.allocated // 8
    data: bytes = element.value
    if big_endian and form.allocated == 8 and element.VR == "OW":  # words of two pixels (PS3.5 8.1.1)
        data = np.frombuffer(data[: len(data) // 2 * 2], dtype=">u2").astype("<u2").tobytes()
    if len(data) < expected:
        raise RadiographError(f"PixelData is cut short: {len(data)} bytes, {expected} expected")
    if len(data) > expected + expected % 2:
        warnings.append(f"PixelData has {len(data)} bytes where {expected} are expected; the rest was ignored")
    cell = np.dtype(f"{'>' if big_endian else '<'}u{form.allocated // 8}")
    return np.frombuffer(data, cell, count=form.rows * form.columns).reshape(form.rows, form.columns)


def _frame(dataset: Dataset, form: PixelFormat) -> bytes:
    """The codestream of the only frame, all its fragments joined."""
    with refusing(f"PixelData is not a sequence of fragments, as {form.transfer_syntax.name} needs"):
        return get_frame(dataset.PixelData, 0, number_of_frames=1)


def _decode_frame(frame: bytes, form: PixelFormat) -> tuple[Cells, int]:
    """The pixel cells of a compressed grey picture and their precision."""
    precision = scan_frame(frame, form)
    by_gdcm = form.transfer_syntax in (JPEGLossless, JPEGLosslessSV1) or (
        form.transfer_syntax == JPEGExtended12Bit and precision > 8
    )
    with refusing(f"the {form.transfer_syntax.name} picture cannot be decoded"):
        np.empty((_DECODER_BYTES, form.rows, form.columns), np.uint8)  # decoders take a lack of memory for damage
        pixels = _decode_by_gdcm(frame, form, precision) if by_gdcm else _decode_by_pydicom(frame, form, precision)
    if pixels.shape != (form.rows, form.columns):
        raise RadiographError("the decoded picture does not have the size that the tags state")
    return pixels, precision


def _decode_by_pydicom(frame: bytes, form: PixelFormat, precision: int) -> NDArray[Any]:
    allocated = 8 if precision <= 8 else form.allocated
    options: Any = {
        "rows": form.rows,
        "columns": form.columns,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "bits_allocated": allocated,
        "bits_stored": min(form.stored, allocated),
        "pixel_representation": int(form.signed),
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
        "decoding_plugin": _PLUGINS[form.transfer_syntax],
        "correct_unused_bits": False,
    }
    return get_decoder(form.transfer_syntax).as_array(encapsulate([frame]), raw=True, **options)[0]


def _decode_by_gdcm(frame: bytes, form: PixelFormat, precision: int) -> NDArray[Any]:
    """Lossless and 12-bit JPEG, through the GDCM inside SimpleITK, which no permissively licensed plugin reads.

    It opens files only: it is given one with the codestream and its format, and nothing of the original header.
    """
    sitk: Any = import_module("SimpleITK")
    bare = Dataset()
    bare.SOPClassUID = SecondaryCaptureImageStorage
    bare.SOPInstanceUID = UID("2.25.1")
    bare.Rows, bare.Columns, bare.SamplesPerPixel = form.rows, form.columns, 1
    bare.BitsAllocated = 8 if precision <= 8 else 16
    bare.BitsStored, bare.HighBit, bare.PixelRepresentation = precision, precision - 1, 0
    bare.PhotometricInterpretation = "MONOCHROME2"
    bare.PixelData = encapsulate([frame])
    bare["PixelData"].is_undefined_length = True
    bare["PixelData"].VR = "OB"
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = form.transfer_syntax
    with BytesIO() as file:
        bare.save_as(file, enforce_file_format=True)
        with copy_of(file, ".dcm") as path:
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO="GDCMImageIO"))[0])
