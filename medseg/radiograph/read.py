"""Reading of a radiograph from a file of any supported format."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

import numpy as np
from pydicom import Dataset

from medseg.errors import RadiographError
from medseg.radiograph.dicom.dataset import as_file
from medseg.radiograph.dicom.read import read_dicom
from medseg.radiograph.embedded import extract_image
from medseg.radiograph.image import Content, Radiograph, check_content
from medseg.radiograph.itk import read_itk
from medseg.radiograph.kind import KINDS, identify, identify_content, identify_kind
from medseg.radiograph.nifti import read_nifti
from medseg.radiograph.npy import read_npy
from medseg.radiograph.raster import invert as inverted
from medseg.radiograph.raster import read_raster
from medseg.radiograph.raw import SPACING_MM, read_raw
from medseg.radiograph.source import Source, open_source

__all__ = ["Presentation", "identify_kind", "read_radiograph"]

Presentation = Literal["stored", "voi"]
Color = Literal["grey", "refuse", "rgb"]
NiftiRows = Literal["top", "bottom"]
Exif = Literal["apply", "ignore"]


@dataclass(frozen=True)
class How:
    """Reading options of a file; see `read_radiograph`."""

    color: Color
    nifti_rows: str | None
    exif: str | None
    mask: bool = False
    """Whether the file is a mask: a palette then gives label values, and the mask may be in the alpha channel."""
    as_colors: bool = False
    """Whether a mask has colors, not values: a palette then gives its colors."""


def _read_raw(file: BinaryIO, kind: str, how: How, warnings: list[str]) -> Content:
    if how.mask:
        raise RadiographError("is a raw JSRT image, not a mask")
    return Content(read_raw(file), SPACING_MM, "film")


def _read_raster(file: BinaryIO, kind: str, how: How, warnings: list[str]) -> Content:
    return read_raster(file, kind, warnings, color=how.color, exif=how.exif, mask=how.mask, as_colors=how.as_colors)


def _read_embedded(file: BinaryIO, kind: str, how: How, warnings: list[str]) -> Content:
    """Read the image inside a LabelMe file, as the file that it was."""
    if how.mask:
        raise RadiographError("is a LabelMe file with an image, not a mask")
    image = extract_image(file)
    found = identify_content(image.read(352))
    if found is None or found not in READERS:
        raise RadiographError("the embedded image (imageData) is not in a supported format. Add the image as a file")
    content = READERS[found](image, found, how, warnings)
    return replace(content, lossy=KINDS[found].lossy)


READERS: Mapping[str, Callable[[BinaryIO, str, How, list[str]], Content]] = {
    "nifti": lambda file, kind, how, warnings: Content(*read_nifti(file, warnings, rows=how.nifti_rows)),
    **dict.fromkeys(("png", "jpeg", "tiff", "gif", "bmp"), _read_raster),
    **dict.fromkeys(("mha", "nrrd"), lambda file, kind, how, warnings: Content(*read_itk(file, kind, warnings))),
    "numpy": lambda file, kind, how, warnings: read_npy(file, how.color, how.mask, how.as_colors, warnings),
    "labelme": _read_embedded,
    "img": _read_raw,
}
"""Readers of radiographs and masks for each format in `kind.KINDS` except DICOM; warnings go into the list."""


def read_radiograph(
    source: Source | Dataset,
    *,
    presentation: Presentation = "stored",
    presentation_intent: Collection[str] = ("FOR PRESENTATION",),
    invert: bool = False,
    color: Color = "grey",
    nifti_rows: NiftiRows | None = None,
    exif: Exif | None = None,
    reduce: int = 0,
) -> Radiograph:
    """Read a radiograph: float32 `(rows, columns)`, modality values, bright is dense.

        radiograph = medseg.read_radiograph("image.dcm")
        radiograph.pixels, radiograph.spacing_mm, radiograph.spacing_source

    `source` is a path, an open file, or a `pydicom.Dataset`, which is read as the file that it would be.
    `presentation="voi"` applies the VOI LUT or window of a DICOM image. `presentation_intent` lists the accepted values
    of PresentationIntentType; a file without this tag is accepted. `invert` exchanges dark and bright in files that do
    not state their polarity (all formats except DICOM and raw JSRT): the type maximum minus the value, or for signed
    and fractional values least plus greatest minus the value. `color="rgb"` returns `(rows, columns, 3)` and repeats
    gray values; `grey` accepts nearly gray images as grayscale, `refuse` rejects them. `nifti_rows` is the position of
    the first stored row of NIfTI files without orientation codes (None: see `read_nifti`). `exif` says whether the EXIF
    orientation is applied (None: apply). `reduce` says how often rows and columns of a JPEG 2000 in a DICOM file may be
    halved, to decode it faster; `Radiograph.reduction` says what was possible. Raises `RadiographError` with the file
    and the reason.
    """
    with open_source(as_file(source) if isinstance(source, Dataset) else source) as file:
        kind = identify(file, file.name)
        if kind == "dicom":
            intent = presentation_intent
            return read_dicom(file, presentation=presentation, presentation_intent=intent, color=color, reduce=reduce)
        return _read_plain(file, kind, How(color, nifti_rows, exif), invert)


def _read_plain(file: BinaryIO, kind: str, how: How, invert: bool) -> Radiograph:
    """Read a file that is not DICOM."""
    warnings: list[str] = []
    found = READERS[kind](file, kind, how, warnings)
    pixels = inverted(found.pixels) if invert and not KINDS[kind].states_polarity else found.pixels
    if how.color == "rgb" and pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(pixels, dtype=np.float32)
    check_content(values)
    return Radiograph(
        pixels=values,
        spacing_mm=found.spacing_mm,
        spacing_source="none" if found.spacing_mm is None else found.spacing_source,
        kind=kind,
        lossy=KINDS[kind].lossy or found.lossy,
        warnings=tuple(warnings),
        exif_orientation=found.exif_orientation,
    )
