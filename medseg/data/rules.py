"""All faults that the checks of a data set can find: code, severity, heading and remedy.

An error stops `train_xray`. A warning will probably harm a model or its scores. An info is worth a look.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""Most severe first."""


@dataclass(frozen=True)
class Rule:
    """One kind of fault."""

    severity: Severity
    what: str
    """Heading above the list of affected cases."""
    remedy: str


_OTHER_THAN_THE_REST = "Check these cases. Correct or remove wrong cases; keep cases that are only rare."
_TURN_MASK = (
    "Check these cases. Turn the mask if only the mask is turned; else turn image and mask, or remove the case."
)
_TURN_IMAGE = "Check these cases. Turn the image (and its mask, if it is turned too), or remove the case."

RULES = {
    "layout": Rule(
        "error",
        "files in unexpected places",
        "Use images/<id>.* and masks/<class>/<id>.*, with one file per id and no other files.",
    ),
    "manifest": Rule("error", "lines of the manifest that cannot be used", "Correct these lines of the CSV file."),
    "class_name": Rule(
        "error", "invalid class names", "List each class once, by the name of its mask folder, column or label."
    ),
    "missing_file": Rule("error", "missing files", "Add the files, or remove the lines that name them."),
    "annotation": Rule(
        "error",
        "annotations that cannot be used",
        "Correct the annotations, and export them again. If you set data.classes, all other labels are ignored.",
    ),
    "image_without_mask": Rule(
        "error",
        "images without a mask",
        "Add a mask (an empty mask if the image shows no class), or remove the image.",
    ),
    "mask_names": Rule(
        "error",
        "mask names that are not clear",
        "Use one name for each class in all masks, <id>_<class>.* or masks/<class>/<id>.*; or set data.classes.",
    ),
    "mask_without_image": Rule(
        "error", "masks without an image", "Give image and mask the same name, or remove the mask from the data set."
    ),
    "class_missing": Rule(
        "error",
        "images without one of the classes",
        "Add the masks (empty masks if the class is absent), or set data.missing=ignore.",
    ),
    "unreadable": Rule(
        "error", "files that cannot be used", "Export the files again from their source, or remove them."
    ),
    "no_content": Rule(
        "error", "images without content", "Export the images again from their source, or remove them and their masks."
    ),
    "exif_unclear": Rule(
        "error",
        "images that have an EXIF orientation, and masks that fit the image both as stored and as turned",
        "Set data.exif=apply if the masks were drawn on the turned images, else data.exif=ignore.",
    ),
    "size_mismatch": Rule(
        "error",
        "images and masks whose sizes do not fit",
        "Export the masks at the size of their images. Swapped rows and columns are the usual cause.",
    ),
    "unknown_label": Rule(
        "error",
        "masks with values that belong to no class",
        "Correct the masks, or list every value in data.label_values, data.classes or dataset.json.",
    ),
    "label_values": Rule(
        "error",
        "masks of one class with several values",
        "Set data.label_values to state the class of each mask value, or save the masks with two values.",
    ),
    "segment_names": Rule(
        "error",
        "segmentations whose segment names differ from the class names",
        "Use the same names: rename the segments, or list every segment in data.classes.",
    ),
    "class_empty": Rule(
        "error",
        "classes without foreground in any training mask",
        "Correct the masks, or remove the class from data.classes.",
    ),
    "empty_split": Rule(
        "error",
        "splits without a case",
        "Add patients, change split.fractions or split.folds, or correct the split column or the split folders.",
    ),
    "placeholder_patients": Rule(
        "error",
        "images that share an empty or placeholder PatientID, so that patients cannot be told apart",
        "Use a manifest with a 'patient' column. If each image shows a different patient, set split.patients=image.",
    ),
    "patient_across_splits": Rule(
        "error",
        "images of one patient in different splits",
        "Correct the 'split' column of the manifest, or set split.allow_duplicates=true.",
    ),
    "copies_across_splits": Rule(
        "error",
        "near-identical images in different splits",
        "Remove one of the images, give both the same patient in a manifest, or set split.allow_duplicates=true.",
    ),
    "not_annotated": Rule(
        "warning",
        "images that no annotation file names",
        "They are left out. Annotate them, or remove them.",
    ),
    "made_by_model": Rule(
        "warning",
        "masks that a model drew, and that nobody has corrected",
        "Correct them: they are no reference for an evaluation. If a mask is right as it is, delete its mark made_by.",
    ),
    "copies": Rule(
        "warning",
        "near-identical images",
        "Keep one image of each pair. Copies count twice and may hide an export error.",
    ),
    "image_inverted": Rule(
        "warning",
        "images with dark and bright apparently exchanged",
        "Correct PhotometricInterpretation or export again. If all images are inverted, set data.invert=true.",
    ),
    "image_upside_down": Rule("warning", "images that look upside down", _TURN_IMAGE),
    "image_transposed": Rule("warning", "images that look transposed or turned by 90 degrees", _TURN_IMAGE),
    "image_mirrored": Rule("warning", "images that look mirrored", _TURN_IMAGE),
    "mask_upside_down": Rule("warning", "masks that look upside down", _TURN_MASK),
    "mask_transposed": Rule("warning", "masks that look transposed or turned by 90 degrees", _TURN_MASK),
    "mask_mirrored": Rule("warning", "masks that look mirrored", _TURN_MASK),
    "mask_off_image": Rule(
        "warning",
        "masks whose contours do not follow their image",
        "Check for a shift, a turn or another patient's mask. Correct or remove the case.",
    ),
    "mask_inverted": Rule(
        "warning",
        "masks with foreground and background apparently exchanged",
        "The greater of two gray levels is foreground. Exchange the two levels in these files.",
    ),
    "mask_levels": Rule(
        "warning",
        "masks with more than two gray levels",
        "These masks were thresholded at half of their range. Save masks without lossy compression or smoothing.",
    ),
    "empty_mask": Rule(
        "warning",
        "masks without foreground",
        "Nothing to do if the image does not show the class; else draw the mask.",
    ),
    "full_mask": Rule(
        "warning", "masks that are all foreground", "Draw the masks again. If a mask is empty, all pixels must be 0."
    ),
    "orientation_tags": Rule(
        "warning",
        "images whose PatientOrientation differs from that of most images",
        "Check these images and turn them if needed. medseg never turns pixels because of this tag.",
    ),
    "few_grey_levels": Rule(
        "warning",
        "images with few gray levels",
        "Export the images again with all bits. A conversion to 8 bits lost gray levels.",
    ),
    "uneven_grey_levels": Rule(
        "warning",
        "images with gaps in the histogram",
        "Export the images again. Stretch the contrast before the conversion to 8 bits, not after it.",
    ),
    "wrapped_grey_levels": Rule(
        "warning",
        "images whose gray levels wrapped around from white to black",
        "Export the images again. Their values were reduced to 8 bits without scaling.",
    ),
    "saturated": Rule(
        "warning",
        "images with large areas of the lowest or the highest value",
        "If the anatomy is clipped, export the images again with a wider window.",
    ),
    "implausible_spacing": Rule(
        "warning", "images with an impossible pixel spacing", "Correct the spacing. Lengths and areas depend on it."
    ),
    "anisotropic_spacing": Rule(
        "warning", "images whose pixels are not square", "Correct the spacing, or resample to square pixels."
    ),
    "mixed_spacing": Rule(
        "info",
        "images whose pixel spacing comes from a different DICOM tag than the spacing of most images",
        "Lengths in mm refer to different planes. Do not compare lengths of these images with lengths of other images.",
    ),
    "absent_spacing": Rule(
        "info",
        "images without pixel spacing",
        "Lengths of these images are in pixels; lengths of the other images are in mm.",
    ),
    "mixed_sizes": Rule(
        "info",
        "images whose size or shape differs from that of most images",
        "Nothing to do if these images show the same field of view as the other images.",
    ),
    "mixed_bit_depth": Rule(
        "info",
        "images whose bit depth differs from that of most images",
        "Nothing to do if these images come from a different device than the other images.",
    ),
    "mask_values": Rule(
        "info",
        "masks whose gray levels differ from those of most masks",
        "Nothing to do. Each mask has two gray levels; pixels with the higher level belong to the class.",
    ),
    "mask_resolution": Rule(
        "info",
        "masks whose size differs from that of their image",
        "Nothing to do if mask and image cover the same field of view.",
    ),
    "burned_in": Rule(
        "info", "images with burned-in text (not shown here)", "Remove the text before you share the images."
    ),
    "reading_note": Rule("info", "files that were read with a warning", "Read the warning of each file."),
    "outlier_image": Rule("info", "images unlike the other images", _OTHER_THAN_THE_REST),
    "outlier_area": Rule("info", "masks of unusual area", _OTHER_THAN_THE_REST),
    "outlier_position": Rule("info", "masks in an unusual place", _OTHER_THAN_THE_REST),
    "outlier_intensity": Rule("info", "masks that cover unusual gray values", _OTHER_THAN_THE_REST),
}
"""Rules by code, in the order of a report."""
