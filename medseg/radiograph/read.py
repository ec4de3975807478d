"""The one way from a file to a radiograph."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from pydicom import Dataset

from medseg.errors import RadiographError
from medseg.radiograph.dicom.dataset import as_file
from medseg.radiograph.dicom.read import read_dicom
from medseg.radiograph.image import Content, Radiograph, check_content
from medseg.radiograph.itk import read_itk
from medseg.radiograph.kind import KINDS, identify, identify_kind
from medseg.radiograph.nifti import read_nifti
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
    """How a file is read; see `read_radiograph`."""

    color: Color
    nifti_rows: str | None
    exif: str | None
    mask: bool = False
    """Whether it holds a mask: a palette gives label values, and the alpha channel alone may hold it."""


def _read_raw(file: BinaryIO, kind: str, how: How, warnings: list[str]) -> Content:
    if how.mask:
        raise RadiographError("is a raw image of JSRT, not a mask")
    return Content(read_raw(file), SPACING_MM, "film")


def _read_raster(file: BinaryIO, kind: str, how: How, warnings: list[str]) -> Content:
    return read_raster(file, kind, warnings, color=how.color, exif=how.exif, mask=how.mask)


READERS: Mapping[str, Callable[[BinaryIO, str, How, list[str]], Content]] = {
    "nifti": lambda file, kind, how, warnings: Content(*read_nifti(file, warnings, rows=how.nifti_rows)),
    **dict.fromkeys(("png", "jpeg", "tiff", "gif", "bmp"), _read_raster),
    **dict.fromkeys(("mha", "nrrd"), lambda file, kind, how, warnings: Content(*read_itk(file, kind, warnings))),
    "img": _read_raw,
}
"""What reads a radiograph or a mask of each entry of `kind.KINDS` but DICOM; the list takes warnings."""


def read_radiograph(
    source: Source | Dataset,
    *,
    presentation: Presentation = "stored",
    presentation_intent: Collection[str] = ("FOR PRESENTATION",),
    invert: bool = False,
    color: Color = "grey",
    nifti_rows: NiftiRows | None = None,
    exif: Exif | None = None,
) -> Radiograph:
    """The radiograph in one file: float32 `(rows, columns)`, modality values, bright is dense.

    `source` is a path, an open file, or a `pydicom.Dataset`, which is read as the file that it would be.
    `presentation="voi"` takes a DICOM image through its VOI LUT or window. `presentation_intent` lists the values of
    PresentationIntentType that are allowed; a file without it always is. `invert` turns dark for bright in files that
    do not state their polarity, that is all but DICOM and the raw images of JSRT: the type's greatest number minus the
    value, for signed numbers and fractions least plus greatest minus the value. `color="rgb"` asks for
    `(rows, columns, 3)`, grey repeated; `grey` and `refuse` say whether a nearly grey image is taken as grey.
    `nifti_rows` is the end that rows are stored from in NIfTI files without orientation codes, `exif` whether the EXIF
    orientation of an image is applied; None is as `read_nifti` says, and apply. Raises `RadiographError` naming the
    file and the reason.
    """
    with open_source(as_file(source) if isinstance(source, Dataset) else source) as file:
        kind = identify(file, file.name)
        if kind == "dicom":
            return read_dicom(file, presentation=presentation, presentation_intent=presentation_intent, color=color)
        return _read_plain(file, kind, How(color, nifti_rows, exif), invert)


def _read_plain(file: BinaryIO, kind: str, how: How, invert: bool) -> Radiograph:
    """A file of any kind but DICOM."""
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
        lossy=KINDS[kind].lossy,
        warnings=tuple(warnings),
        exif_orientation=found.exif_orientation,
    )
