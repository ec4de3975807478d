"""Reading of a DICOM file as a `Radiograph`: which files are rejected, and the order of the pixel steps."""

import os
import re
from collections.abc import Collection
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medseg.errors import RadiographError
from medseg.radiograph.channels import JPEG_TOLERANCE, merge_channels
from medseg.radiograph.dicom.color import PALETTE_KEYWORDS, is_color, read_color
from medseg.radiograph.dicom.decode import LOSSY, decode_stored
from medseg.radiograph.dicom.gray import apply_modality, apply_voi, is_inverse
from medseg.radiograph.dicom.header import (
    PixelFormat,
    integer,
    items,
    numbers,
    read_dataset,
    read_pixel_format,
    text,
    texts,
    uid,
    values,
)
from medseg.radiograph.dicom.resolution import find_reduction
from medseg.radiograph.dicom.spacing import read_spacing
from medseg.radiograph.dicom.stored import OVERLAY_TAGS
from medseg.radiograph.dicom.terms import name_code
from medseg.radiograph.image import Radiograph, check_content, clean_term
from medseg.radiograph.kind import identify
from medseg.radiograph.source import open_source

_CODED = {"BodyPartExamined": "AnatomicRegionSequence", "ViewPosition": "ViewCodeSequence"}
_KEYWORDS = (
    *_CODED.values(),
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "BurnedInAnnotation",
    "PatientOrientation",
    "PresentationIntentType",
    "LossyImageCompression",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PlanarConfiguration",
    "PhotometricInterpretation",
    "PresentationLUTShape",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    *PALETTE_KEYWORDS,
)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


def read_dicom(
    file: BinaryIO, *, presentation: str, presentation_intent: Collection[str], color: str, reduce: int = 0
) -> Radiograph:
    """Read the image of a DICOM file. Raises `RadiographError` for files without exactly one usable frame.

    A color image stays RGB with `color="rgb"`; else its channels are merged by `merge_channels`. A gray image goes
    through the modality step, with `presentation="voi"` the VOI step, and for MONOCHROME1 the inversion. `reduce` is
    that of `read_radiograph`.
    """
    warnings: list[str] = []
    dataset = _read_picture(file)
    _check_intent(dataset, presentation_intent)
    form = read_pixel_format(dataset, warnings)
    padding = None
    if is_color(form):
        channels = read_color(dataset, form, warnings)
        lossy = JPEG_TOLERANCE if form.transfer_syntax in LOSSY else 0
        pixels = channels if color == "rgb" else merge_channels(channels, lossy, color, warnings)
        pixels = pixels.astype(np.float32)
    else:
        pixels, padding = _gray_pixels(dataset, form, presentation, warnings, reduce)
        pixels = np.repeat(pixels[:, :, None], 3, axis=2) if color == "rgb" else pixels
    check_content(pixels, padding)
    size = form.rows, form.columns
    spacing_mm, spacing_source = read_spacing(dataset, warnings)
    return Radiograph(
        pixels=pixels,
        spacing_mm=spacing_mm,
        spacing_source=spacing_source,
        kind="dicom",
        modality=clean_term(text(dataset, "Modality"), "Modality", warnings),
        body_part=_read_term(dataset, "BodyPartExamined", warnings),
        view=_read_term(dataset, "ViewPosition", warnings),
        orientation=read_orientation(dataset),
        lossy=form.transfer_syntax in LOSSY or text(dataset, "LossyImageCompression") == "01",
        warnings=tuple(warnings),
        padding=padding,
        burned_in={"YES": True, "NO": False}.get((text(dataset, "BurnedInAnnotation") or "").upper()),
        sop_class=uid(dataset, "SOPClassUID"),
        sop_instance_uid=uid(dataset, "SOPInstanceUID"),
        reduction=find_reduction(size, pixels.shape[:2]),
        full_size=None if pixels.shape[:2] == size else size,
    )


def read_stored(
    file: BinaryIO, warnings: list[str]
) -> tuple[NDArray[np.integer[Any]], tuple[float, float] | None, bool]:
    """Read the stored values and spacing of a DICOM file that contains a mask, and whether it is lossy."""
    dataset = _read_picture(file)
    form = read_pixel_format(dataset, warnings)
    _check_gray(form)
    lossy = form.transfer_syntax in LOSSY or text(dataset, "LossyImageCompression") == "01"
    stored = decode_stored(dataset, form, warnings).astype("int64" if form.allocated > 16 else "int32")
    return stored, read_spacing(dataset, warnings)[0], lossy


def read_patient(path: str | os.PathLike[str]) -> tuple[str, str] | None:
    """Return the stripped PatientID and IssuerOfPatientID, for grouping only; None if the file is not DICOM.

    A missing value is an empty text. Never store or print these values. Raises `RadiographError` like any reader.
    """
    with open_source(path) as file:
        if identify(file, path) != "dicom":
            return None
        dataset = read_dataset(file, ("PatientID", "IssuerOfPatientID"), pixels=False)
        patient, issuer = ("\\".join(texts(dataset, keyword)) for keyword in ("PatientID", "IssuerOfPatientID"))
        return patient, issuer


def _read_term(dataset: Dataset, keyword: str, warnings: list[str]) -> str | None:
    return clean_term(text(dataset, keyword), keyword, warnings) or find_coded(dataset, keyword)


def find_coded(dataset: Dataset, keyword: str) -> str | None:
    """Return BodyPartExamined or ViewPosition by its code: a DX image may have only that (PS3.3 C.8.11.2, C.8.11.5)."""
    for item in items(dataset, _CODED[keyword]):
        scheme, value = text(item, "CodingSchemeDesignator"), text(item, "CodeValue")
        if scheme and value:
            return name_code(keyword, scheme, value)
    return None


def read_orientation(dataset: Dataset) -> str | None:
    r"""Return PatientOrientation as in DICOM, `L\F` (PS3.3 C.7.6.1.1.1), or None if missing or malformed."""
    found = texts(dataset, "PatientOrientation")
    return "\\".join(found) if len(found) == 2 and all(re.fullmatch("[LRAPHF]{1,3}", v) for v in found) else None


def is_segmentation_class(sop_class: str | None) -> bool:
    """Return whether a SOP class is Segmentation Storage or Label Map Segmentation Storage (PS3.4 B.5)."""
    return sop_class in _SEGMENTATIONS


def _read_picture(file: BinaryIO) -> Dataset:
    """Read the data set with its pixel data, after checking in the header that it may be a single image."""
    header = read_dataset(file, ("SOPClassUID", "NumberOfFrames"), pixels=False)
    if is_segmentation_class(uid(header, "SOPClassUID")):
        raise RadiographError("is a DICOM segmentation, not an image", "object")
    frames = integer(header, "NumberOfFrames")
    if frames is not None and frames > 1:
        raise RadiographError(f"has {frames} frames, but a single frame is needed", "frames")
    dataset = read_dataset(file, (*_KEYWORDS, *OVERLAY_TAGS, *_PIXELS), pixels=True)
    for keyword in _PIXELS[1:]:
        if keyword in dataset:
            raise RadiographError(f"contains {keyword}, but only PixelData is supported")
    data = values(dataset, "PixelData")
    if not data:
        raise RadiographError(f"has no pixel data ({_class_name(dataset)})", "no-pixels")
    if not isinstance(data[0], bytes):
        raise RadiographError("PixelData must have the value representation OB or OW")
    return dataset


def _class_name(dataset: Dataset) -> str:
    name = UID(uid(dataset, "SOPClassUID") or uid(dataset.file_meta, "MediaStorageSOPClassUID") or "").name
    return name if name and not name[0].isdigit() else "unknown SOP class"


def _check_intent(dataset: Dataset, allowed: Collection[str]) -> None:
    intent = (text(dataset, "PresentationIntentType") or "").upper()
    if intent and intent not in {value.upper() for value in allowed}:
        shown = intent if intent in ("FOR PROCESSING", "FOR PRESENTATION") else "unknown"
        raise RadiographError(f"PresentationIntentType is {shown}; allowed: {', '.join(allowed)}", "intent")


def _check_gray(form: PixelFormat) -> None:
    if is_color(form):
        raise RadiographError(f"is a color image (SamplesPerPixel {form.samples}), but grayscale is needed", "color")
    if form.photometric not in _GRAY:
        raise RadiographError("PhotometricInterpretation is unknown, but MONOCHROME1 or MONOCHROME2 is needed")


def _gray_pixels(
    dataset: Dataset, form: PixelFormat, presentation: str, warnings: list[str], reduce: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    _check_gray(form)
    tables = ("ModalityLUTSequence", "VOILUTSequence") if presentation == "voi" else ("ModalityLUTSequence",)
    reduce = 0 if any(items(dataset, table) for table in tables) else reduce  # a table may jump between two levels
    given = len(warnings)
    stored = decode_stored(dataset, form, warnings, reduce)
    least, greatest = form.stored_range
    tabled = greatest - least < stored.size
    levels = np.arange(least, greatest + 1) if tabled else stored
    gray = apply_modality(levels, form.stored_range, dataset, warnings)
    if presentation == "voi":
        gray = apply_voi(gray, dataset, warnings)
    if is_inverse(form.photometric, dataset, warnings):
        gray = gray.inverted()
    with np.errstate(over="ignore"):
        values = gray.values.astype(np.float32)
    pixels = _look_up(stored, levels, values) if tabled else values
    padding = _padding(stored, form, dataset, warnings)
    if padding is not None and pixels.shape != (form.rows, form.columns):  # the wavelet mixes it with its surroundings
        del warnings[given:]
        return _gray_pixels(dataset, form, presentation, warnings, 0)
    return pixels, padding


def _look_up(
    stored: NDArray[np.integer[Any]], levels: NDArray[np.integer[Any]], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the value for each stored level; `values` belong to `levels`, which are consecutive numbers."""
    if np.array_equal(levels, values):
        return stored.astype(np.float32)
    pixels = np.empty(stored.shape, np.float32)
    for row, found in zip(pixels, stored, strict=True):  # row by row, since indices need 8 bytes per pixel
        np.take(values, found - levels[0], out=row, mode="clip")
    return pixels


def _padding(
    stored: NDArray[np.integer[Any]], form: PixelFormat, dataset: Dataset, warnings: list[str]
) -> NDArray[np.bool_] | None:
    """Return the mask of values from PixelPaddingValue to PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2), or None."""
    padding = numbers(dataset, "PixelPaddingValue")
    if not padding:
        return None
    stated = (*padding, *numbers(dataset, "PixelPaddingRangeLimit"))
    limits = [limit for value in stated if (limit := _as_stored(value, form)) is not None]
    if len(padding) > 1 or len(limits) < len(stated):
        warnings.append("PixelPaddingValue or PixelPaddingRangeLimit is not a possible pixel value; both were ignored")
        return None
    low, high = min(limits), max(limits)
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _as_stored(value: float, form: PixelFormat) -> int | None:
    """Return `value` as a stored value, with the sign corrected if needed; None if no pixel can have this value."""
    if not value.is_integer():
        return None
    number, (low, high) = int(value), form.stored_range
    turns = (0, 1 << form.allocated, 1 << form.stored) if form.signed else (0, -(1 << form.allocated))
    return next((number - turn for turn in turns if low <= number - turn <= high), None)
