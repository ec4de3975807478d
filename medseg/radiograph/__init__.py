"""Readers of radiographs and masks in all supported file formats."""

from medseg.radiograph.dicom.read import read_patient
from medseg.radiograph.dicom.seg import Segmentation, is_segmentation, read_segmentation
from medseg.radiograph.image import Radiograph
from medseg.radiograph.mask import LabelImage, binarize, read_label_image
from medseg.radiograph.nifti import build_nifti
from medseg.radiograph.read import identify_kind, read_radiograph

__all__ = [
    "LabelImage",
    "Radiograph",
    "Segmentation",
    "binarize",
    "build_nifti",
    "identify_kind",
    "is_segmentation",
    "read_label_image",
    "read_patient",
    "read_radiograph",
    "read_segmentation",
]
