"""Phantoms as files: DX or CR images in many DICOM variants, with NIfTI masks. Synthetic, not clinical.

The variants (`Coat`) occur in real archives, so that a set of phantoms tests the reader: two object classes, both
polarities, every meaning of the spacing, and all kinds of lossless transfer syntaxes.
"""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from medseg.atomic import open_atomically
from medseg.phantom.chest import CLASSES, MAXIMUM, VERSION, Phantom, draw_phantom
from medseg.phantom.generated import name_cases, write_generated_set
from medseg.phantom.varied import CLASSES as VARIED_CLASSES
from medseg.phantom.varied import draw_varied_phantom

SYNTAXES = (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
ENCODERS = {JPEG2000Lossless: "pylibjpeg", RLELossless: "pydicom", JPEGLSLossless: "pyjpegls"}
DATE, TIME = "20000101", "120000"
"""Fixed, so that the same seed gives the same bytes on any day."""
MAGNIFICATION = 1.08
"""Magnification in calibrated files: detector distance / patient distance, 180 cm / 167 cm."""


@dataclass(frozen=True)
class Coat:
    """DICOM variant of a phantom."""

    modality: Literal["DX", "CR"]
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    spacing: Literal["detector", "equal", "calibrated", "none"]
    """ImagerPixelSpacing only, equal PixelSpacing in addition, calibrated PixelSpacing, or no spacing (CR only)."""
    transfer_syntax: UID


def choose_coat(index: int) -> Coat:
    """Choose the variant of case `index`; 14 consecutive cases contain DX and CR in every transfer syntax."""
    modality: Literal["DX", "CR"] = "CR" if index % 2 else "DX"
    turn = index // 2
    return Coat(
        modality=modality,
        photometric="MONOCHROME1" if turn % 2 else "MONOCHROME2",
        spacing=("none", "detector", "calibrated", "equal")[turn % 4]
        if index % 2
        else ("detector", "calibrated", "equal")[turn % 3],
        transfer_syntax=SYNTAXES[index % 7],
    )


def find_written_spacing(phantom: Phantom, coat: Coat) -> tuple[float, float] | None:
    """Return the spacing `(row, column)` in mm that a reader finds: calibrated before detector (PS3.3 10.7)."""
    if coat.spacing == "none":
        return None
    if coat.spacing == "calibrated":
        row, column = phantom.spacing_mm
        return round(row / MAGNIFICATION, 4), round(column / MAGNIFICATION, 4)
    return phantom.spacing_mm


def write_phantoms(folder: Path, num_cases: int, size: int, seed: int) -> Path:
    """Write synthetic chests (not clinical) as `images/<id>.dcm` and `masks/<class>/<id>.nii.gz`; return the folder.

    Each byte of case i depends only on `seed`, `size` and i. A complete data set is not written again; an incomplete
    one is. Raises `DataError` if the folder contains other files, `StorageError` if writing fails.
    """
    return _write_set(folder, "phantom", draw_phantom, CLASSES, num_cases, size, seed)


def write_varied_phantoms(folder: Path, num_cases: int, size: int, seed: int) -> Path:
    """Write the chests of varied.py in the same way."""
    return _write_set(folder, "varied", draw_varied_phantom, VARIED_CLASSES, num_cases, size, seed)


def _write_set(
    folder: Path,
    prefix: str,
    draw: Callable[[np.random.Generator, int], Phantom],
    classes: Sequence[str],
    num_cases: int,
    size: int,
    seed: int,
) -> Path:
    folder = Path(folder)
    names = name_cases(prefix, num_cases)
    files = [Path("images", f"{name}.dcm") for name in names]
    files += [Path("masks", label, f"{name}.nii.gz") for label in classes for name in names]

    def write_case(index: int) -> None:
        phantom = draw(np.random.default_rng([seed, index]), size)
        write_phantom(folder, names[index], phantom, seed, index)

    recipe: dict[str, str | int] = {"prefix": prefix, "version": VERSION, "note": "synthetic, not clinical"}
    return write_generated_set(
        folder, {**recipe, "num_cases": num_cases, "size": size, "seed": seed}, files, write_case
    )


def write_phantom(folder: Path, name: str, phantom: Phantom, seed: int, index: int) -> None:
    """Write `images/<name>.dcm` and `masks/<class>/<name>.nii.gz` below `folder`."""
    from medseg.radiograph.nifti import build_nifti

    coat = choose_coat(index)
    spacing = find_written_spacing(phantom, coat)
    for label, mask in phantom.masks.items():
        nifti = build_nifti(mask.astype(np.uint8), spacing)
        with open_atomically(folder / "masks" / label / f"{name}.nii.gz") as file:
            file.write(gzip.compress(nifti.to_bytes(), mtime=0))
    dataset = build_dicom(phantom, coat, name, [str(VERSION), str(seed), str(index), str(phantom.view.shape[0])])
    with open_atomically(folder / "images" / f"{name}.dcm") as file:
        dataset.save_as(file, enforce_file_format=True)


def build_dicom(phantom: Phantom, coat: Coat, name: str, entropy: list[str]) -> Dataset:
    """Build a DX (PS3.3 A.26) or CR (A.2) object of the phantom in the variant `coat`, with its compression.

    UIDs depend only on `entropy`; dates are fixed. MONOCHROME1 stores 4095 - pixels.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = coat.transfer_syntax
    _add_patient_and_study(dataset, coat, name, entropy)
    _add_series_and_equipment(dataset, phantom, coat, entropy)
    _add_image(dataset, phantom, coat)
    _add_spacing(dataset, phantom, coat)
    if coat.modality == "DX":
        _add_digital_xray(dataset, coat)
    _add_pixels(dataset, phantom, coat)
    return dataset


def _add_patient_and_study(dataset: Dataset, coat: Coat, name: str, entropy: list[str]) -> None:
    dataset.SOPClassUID = (
        DigitalXRayImageStorageForPresentation if coat.modality == "DX" else ComputedRadiographyImageStorage
    )
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance", *entropy])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", *entropy])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", *entropy])
    dataset.PatientName = "Phantom^Synthetic"
    dataset.PatientID = name
    dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "synthetic, no patient"
    dataset.StudyID = "1"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = TIME
    dataset.StudyDescription = "Synthetic chest phantom"


def _add_series_and_equipment(dataset: Dataset, phantom: Phantom, coat: Coat, entropy: list[str]) -> None:
    dataset.Modality = coat.modality
    dataset.SeriesNumber = dataset.InstanceNumber = dataset.AcquisitionNumber = 1
    dataset.SeriesDescription = "synthetic, not clinical"
    dataset.ImageComments = "Synthetic phantom drawn by a program. Not clinical."
    dataset.Manufacturer = "medseg"
    dataset.ManufacturerModelName = "phantom"
    dataset.SoftwareVersions = str(VERSION)
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]  # columns run to the patient's left, rows to the feet
    dataset.KVP = 120


def _add_image(dataset: Dataset, phantom: Phantom, coat: Coat) -> None:
    inverse = coat.photometric == "MONOCHROME1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""] if coat.modality == "DX" else ["ORIGINAL", "PRIMARY"]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = coat.photometric
    dataset.Rows, dataset.Columns = phantom.view.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    low, high = (int(value) for value in np.percentile(phantom.pixels, [2, 98]))
    low, high = (MAXIMUM - high, MAXIMUM - low) if inverse else (low, high)
    dataset.WindowCenter, dataset.WindowWidth = (low + high + 1) // 2, max(high - low, 1)
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"


def _add_spacing(dataset: Dataset, phantom: Phantom, coat: Coat) -> None:
    written = find_written_spacing(phantom, coat)
    if written is None:
        return
    dataset.ImagerPixelSpacing = list(phantom.spacing_mm)
    if coat.spacing != "detector":
        dataset.PixelSpacing = list(written)
    if coat.spacing == "calibrated":
        dataset.PixelSpacingCalibrationType = "GEOMETRY"
        dataset.PixelSpacingCalibrationDescription = "Magnification of a typical chest stand"


def _add_digital_xray(dataset: Dataset, coat: Coat) -> None:
    """Add the attributes that DX requires in addition to CR (PS3.3 C.8.11.1 to C.8.11.5)."""
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = "U"
    dataset.DetectorType = "SCINTILLATOR"
    dataset.PixelIntensityRelationship = "LOG"
    # 1: more radiation, greater value
    dataset.PixelIntensityRelationshipSign = 1 if coat.photometric == "MONOCHROME1" else -1
    dataset.AcquisitionContextSequence = DicomSequence()
    dataset.PositionerType = "COLUMN"
    dataset.AnatomicRegionSequence = _code("816094009", "Chest")
    dataset.ViewCodeSequence = _code("272479007", "postero-anterior")
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = DicomSequence()


def _code(value: str, meaning: str) -> DicomSequence:
    """Return a sequence with one SNOMED CT code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return DicomSequence([item])


def _add_pixels(dataset: Dataset, phantom: Phantom, coat: Coat) -> None:
    stored = MAXIMUM - phantom.pixels if coat.photometric == "MONOCHROME1" else phantom.pixels
    plugin = ENCODERS.get(coat.transfer_syntax)
    if plugin:
        dataset.compress(coat.transfer_syntax, stored, encoding_plugin=plugin, generate_instance_uid=False)
        return
    dataset.PixelData = stored.astype("<u2" if coat.transfer_syntax.is_little_endian else ">u2").tobytes()
    dataset["PixelData"].VR = "OW"
