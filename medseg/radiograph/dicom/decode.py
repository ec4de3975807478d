"""Decoding of DICOM pixel data in all supported transfer syntaxes."""

from contextlib import suppress
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
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
from medseg.radiograph.dicom.codestream import JPEG_LS, drop_tail
from medseg.radiograph.dicom.fragments import read_frames
from medseg.radiograph.dicom.frame import JPEG2000_SYNTAXES, JPEG_SYNTAXES, trim_frame
from medseg.radiograph.dicom.header import PixelFormat
from medseg.radiograph.dicom.resolution import decode_reduced
from medseg.radiograph.dicom.stored import Cells, Values, extract_stored, has_embedded_overlay
from medseg.radiograph.source import copy_of, refusing

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
_LOSSLESS_JPEG = (JPEGLossless, JPEGLosslessSV1)

LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
"""Transfer syntaxes that may lose information (PS3.5 A.4)."""

_PLUGINS = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    **dict.fromkeys(JPEG2000_SYNTAXES, "pylibjpeg"),
    RLELossless: "pydicom",  # the pylibjpeg decoder panics on damaged bytes
}
"""The pydicom plugin for each transfer syntax; a fixed choice, so that other installed plugins change nothing."""

_DECODER_BYTES = 16  # memory per pixel; the later steps need as much anyway


def decode_stored(dataset: Dataset, form: PixelFormat, warnings: list[str], reduce: int = 0) -> Values:
    """Decode the stored values `(rows, columns)` of a gray image, in the range of BitsStored, with extended sign.

    With `reduce`, rows and columns of a JPEG 2000 are halved up to so many times, as `decode_reduced` does. Unsigned
    values may share memory with the file bytes. Raises `RadiographError` for an unsupported transfer syntax, a
    codestream that contradicts the tags, and incomplete data.
    """
    _check_syntax(form.transfer_syntax)
    if form.transfer_syntax in _NATIVE:
        cells = _native_cells(dataset, form, warnings)
    else:
        (frame,) = read_frames(dataset, 1, warnings)
        cells = _decode_frame(frame, form, warnings, 0 if has_embedded_overlay(dataset, form) else reduce)
    return extract_stored(cells, form, dataset, warnings)


def decode_color(dataset: Dataset, form: PixelFormat, warnings: list[str]) -> NDArray[Any]:
    """Decode a color image `(rows, columns, 3)` as red, green and blue; YBR is converted. Raises `RadiographError`."""
    if form.transfer_syntax in _LOSSLESS_JPEG:
        (frame,) = read_frames(dataset, 1, warnings)
        pixels = _decode_frame(frame, form, warnings).values
        with refusing("the colors cannot be converted"):  # pydicom converts 8 bits only
            is_rgb = form.photometric == "RGB"
            return pixels if is_rgb else convert_color_space(pixels, form.photometric, "RGB")
    return _decode_whole(dataset, form, 1, warnings, raw=False).reshape(form.rows, form.columns, 3)


def decode_frames(dataset: Dataset, form: PixelFormat, count: int, warnings: list[str]) -> NDArray[Any]:
    """Decode the `count` frames `(frame, rows, columns)` of a segmentation as stored. Raises `RadiographError`."""
    return _decode_whole(dataset, form, count, warnings, raw=True).reshape(count, form.rows, form.columns)


def _check_syntax(syntax: UID) -> None:
    """Raise `RadiographError` for an unsupported transfer syntax; the UID of a private one is not quoted."""
    if syntax not in (*_NATIVE, *JPEG_SYNTAXES, *JPEG2000_SYNTAXES, RLELossless):
        known = syntax.name != syntax or syntax.startswith("1.2.840.10008.1.2.")
        raise RadiographError(f"TransferSyntaxUID is {syntax.name if known else 'private'}, which is not supported")


def _decode_whole(dataset: Dataset, form: PixelFormat, count: int, warnings: list[str], raw: bool) -> NDArray[Any]:
    _check_syntax(form.transfer_syntax)
    options: Any = {"number_of_frames": count}
    name = form.transfer_syntax.name
    with refusing(f"the {name} pixel data cannot be decoded"):
        if form.transfer_syntax not in _NATIVE:
            frames = [trim_frame(frame, form, warnings)[0] for frame in read_frames(dataset, count, warnings)]
            dataset.PixelData = encapsulate(frames)
            if form.transfer_syntax not in _PLUGINS:
                raise RadiographError(f"several gray frames in transfer syntax {name} are not supported")
            options["decoding_plugin"] = _PLUGINS[form.transfer_syntax]
        pixels = get_decoder(form.transfer_syntax).as_array(dataset, raw=raw, **options)[0]
        if pixels.size != count * form.rows * form.columns * form.samples:
            raise RadiographError("the size of the pixel data differs from Rows and Columns")
        return pixels


def _native_cells(dataset: Dataset, form: PixelFormat, warnings: list[str]) -> Cells:
    """Return uncompressed pixel cells. Extra data after the first image are ignored with a warning."""
    element = dataset["PixelData"]
    if element.is_undefined_length:
        raise RadiographError("PixelData is encapsulated, but the transfer syntax is uncompressed")
    big_endian = form.transfer_syntax == ExplicitVRBigEndian
    expected = form.rows * form.columns * form.allocated // 8
    data: bytes = element.value
    if big_endian and form.allocated == 8 and element.VR == "OW":  # words of two pixels (PS3.5 8.1.1)
        data = np.frombuffer(data[: len(data) // 2 * 2], dtype=">u2").astype("<u2").tobytes()
    if len(data) < expected:
        raise RadiographError(f"PixelData is cut short: {len(data)} bytes, but {expected} are needed")
    if len(data) > expected + expected % 2:
        warnings.append(f"PixelData has {len(data)} bytes, but {expected} are needed; the rest was ignored")
    cell = np.dtype(f"{'>' if big_endian else '<'}u{form.allocated // 8}")
    values = np.frombuffer(data, cell, count=form.rows * form.columns).reshape(form.rows, form.columns)
    return Cells(values, precision=form.allocated)


def _decode_frame(frame: bytes, form: PixelFormat, warnings: list[str], reduce: int = 0) -> Cells:
    """Decode the pixel cells of a compressed gray image, or of a lossless color JPEG `(rows, columns, 3)`."""
    frame, stream = trim_frame(frame, form, warnings)
    if (reduced := decode_reduced(frame, stream, form, reduce)) is not None:
        return reduced
    by_gdcm = form.transfer_syntax in _LOSSLESS_JPEG or (
        form.transfer_syntax == JPEGExtended12Bit and stream.precision > 8
    )
    with refusing(f"the {form.transfer_syntax.name} image cannot be decoded"):
        np.empty((_DECODER_BYTES, form.rows, form.columns), np.uint8)  # decoders report a lack of memory as damage
        if by_gdcm:
            pixels = _decode_by_gdcm(frame, form, stream.precision)
        elif stream.process == JPEG_LS:
            pixels = _decode_jpeg_ls(frame, form, stream.precision, warnings)
        else:
            pixels = _decode_by_pydicom(frame, form, stream.precision)
    if pixels.shape[:2] != (form.rows, form.columns) or pixels.size != form.rows * form.columns * form.samples:
        raise RadiographError("the size of the decoded image differs from Rows and Columns")
    return Cells(pixels, stream.precision, stream.signed, stream.lossy)


def _decode_jpeg_ls(frame: bytes, form: PixelFormat, precision: int, warnings: list[str]) -> NDArray[Any]:
    """Decode a JPEG-LS. The decoder rejects bytes between the last pixel and the end marker; such bytes are dropped."""
    try:
        return _decode_by_pydicom(frame, form, precision)
    except RuntimeError:
        for shorter in drop_tail(frame):
            with suppress(RuntimeError):
                pixels = _decode_by_pydicom(shorter, form, precision)
                warnings.append("bytes before the end marker of the compressed image were ignored")
                return pixels
        raise


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
    """Decode a lossless or 12-bit JPEG with the GDCM inside SimpleITK; no permissively licensed plugin reads these.

    GDCM opens only files: it gets a file with the codestream and its format, without the original header.
    """
    sitk: Any = import_module("SimpleITK")
    bare = Dataset()
    bare.SOPClassUID = SecondaryCaptureImageStorage
    bare.SOPInstanceUID = UID("2.25.1")
    bare.Rows, bare.Columns, bare.SamplesPerPixel = form.rows, form.columns, form.samples
    bare.BitsAllocated = 8 if precision <= 8 else 16
    bare.BitsStored, bare.HighBit, bare.PixelRepresentation = precision, precision - 1, 0
    bare.PhotometricInterpretation = "MONOCHROME2" if form.samples == 1 else "RGB"
    if form.samples > 1:
        bare.PlanarConfiguration = 0
    bare.PixelData = encapsulate([frame])
    bare["PixelData"].is_undefined_length = True
    bare["PixelData"].VR = "OB"
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = form.transfer_syntax
    with BytesIO() as file:
        bare.save_as(file, enforce_file_format=True)
        with copy_of(file, ".dcm") as path:
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO="GDCMImageIO"))[0])
