"""Formats that people draw in: from annotation files to shapes and masks, and back."""

from medseg.annotations.formats import FORMATS, Format, find_annotations, read_annotations
from medseg.annotations.outline import outline
from medseg.annotations.raster import draw_masks
from medseg.annotations.shape import AnnotatedImage, Annotations, Problem, Shape, is_class_name, name_class

__all__ = [
    "FORMATS",
    "AnnotatedImage",
    "Annotations",
    "Format",
    "Problem",
    "Shape",
    "draw_masks",
    "find_annotations",
    "is_class_name",
    "name_class",
    "outline",
    "read_annotations",
]
