"""Every fault that a data set can be found to have: its code, how grave it is, what it is called, what mends it.

An error is what `train_xray` refuses. A warning will probably harm a model or its scores. An info is worth a look.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The gravest first."""


@dataclass(frozen=True)
class Rule:
    """One kind of fault."""

    severity: Severity
    what: str
    """What is found, as a heading over a list of cases."""
    remedy: str


_OTHER_THAN_THE_REST = "Look at them: mend or take away what is wrong, keep what is only rare."
_TURN_MASK = "Look: where image and mask disagree turn the mask, else turn both or take the case away."
_TURN_IMAGE = "Look: turn the image (and its mask, where it is turned too), or take the case away."

RULES = {
    "layout": Rule(
        "error",
        "files that are not where they are looked for",
        "Keep images/<id>.* and masks/<class>/<id>.* with one file an id, and nothing else beside them.",
    ),
    "manifest": Rule("error", "lines of the manifest that cannot be used", "Correct these lines of the CSV file."),
    "class_name": Rule(
        "error", "names that cannot be classes", "Name each class once, as its mask folder, column or label is named."
    ),
    "missing_file": Rule(
        "error", "files that are missing", "Put the files there, or take away the lines that name them."
    ),
    "image_without_mask": Rule(
        "error", "images without a mask", "Add the mask (an empty one where nothing is to be seen), or move the image."
    ),
    "mask_without_image": Rule(
        "error", "masks without an image", "Give image and mask the same name, or move the mask out of the data set."
    ),
    "class_missing": Rule(
        "error",
        "images without one of the classes",
        "Add the masks (empty ones where the class is absent), or set data.missing=ignore.",
    ),
    "unreadable": Rule("error", "files that cannot be used", "Export them anew from their source, or move them away."),
    "no_content": Rule(
        "error", "images without content", "Export them anew from their source, or move them away with their masks."
    ),
    "exif_unclear": Rule(
        "error",
        "images with an EXIF orientation whose masks fit both the turned and the stored image",
        "Set data.exif=apply if masks were drawn on the turned images, or data.exif=ignore if on the stored images.",
    ),
    "size_mismatch": Rule(
        "error",
        "images and masks whose sizes do not fit",
        "Export the masks at the size of their images; swapped rows and columns are the usual cause.",
    ),
    "unknown_label": Rule(
        "error",
        "masks with values that belong to no class",
        "Correct the masks, or name every value in data.label_values, data.classes or dataset.json.",
    ),
    "label_values": Rule(
        "error",
        "masks of one class that hold several values",
        "Name the class of each value in data.label_values, or save the masks with two values.",
    ),
    "segment_names": Rule(
        "error",
        "segmentations of 3D Slicer whose segment names differ from the class names",
        "Use the same names in both: rename segments in 3D Slicer, or list every segment in data.classes.",
    ),
    "class_empty": Rule(
        "error",
        "classes that no training mask shows; nothing to learn",
        "Correct the masks, or leave the class out with data.classes.",
    ),
    "empty_split": Rule(
        "error",
        "splits without a case",
        "Add patients, change split.fractions or split.folds, or correct the split column or the split folders.",
    ),
    "placeholder_patients": Rule(
        "error",
        "images that share an empty or placeholder PatientID, so that patients cannot be kept apart",
        "Give a manifest with a 'patient' column, or split.patients=image if each image is another patient.",
    ),
    "patient_across_splits": Rule(
        "error",
        "images of one patient in different splits",
        "Mend the manifest's 'split' column, or set split.allow_duplicates=true.",
    ),
    "copies_across_splits": Rule(
        "error",
        "near-identical images in different splits",
        "Remove them, give them one patient in a manifest, or set split.allow_duplicates=true.",
    ),
    "copies": Rule(
        "warning", "near-identical images", "Keep one of each pair: copies weigh double, and may hide a wrong export."
    ),
    "image_inverted": Rule(
        "warning",
        "images whose dark and bright look exchanged",
        "Correct PhotometricInterpretation or export them anew; data.invert=true where all are inverted.",
    ),
    "image_upside_down": Rule("warning", "images that look upside down", _TURN_IMAGE),
    "image_transposed": Rule("warning", "images that look turned by a quarter or transposed", _TURN_IMAGE),
    "image_mirrored": Rule("warning", "images that look mirrored", _TURN_IMAGE),
    "mask_upside_down": Rule("warning", "masks that look upside down", _TURN_MASK),
    "mask_transposed": Rule("warning", "masks that look turned by a quarter or transposed", _TURN_MASK),
    "mask_mirrored": Rule("warning", "masks that look mirrored", _TURN_MASK),
    "mask_off_image": Rule(
        "warning",
        "masks whose contours do not follow their image",
        "Look: another patient's mask, a shift, or a turn of one of the two; mend it or take the case away.",
    ),
    "mask_inverted": Rule(
        "warning",
        "masks whose foreground and background look exchanged",
        "Of two grey levels the greater is foreground: exchange them in these files.",
    ),
    "mask_levels": Rule(
        "warning",
        "masks with more than two grey levels",
        "Each was cut half-way between its levels. Save masks without lossy compression and without smoothing.",
    ),
    "empty_mask": Rule(
        "warning", "masks without foreground", "Right where the class is not in the picture; else draw it."
    ),
    "full_mask": Rule(
        "warning", "masks that are all foreground", "Draw them, or write them as 0 where they are empty."
    ),
    "orientation_tags": Rule(
        "warning",
        "images whose PatientOrientation differs from the rest",
        "Look at them; turn those that lie another way. Pixels are never turned because of a tag.",
    ),
    "few_grey_levels": Rule(
        "warning", "images with few grey levels", "Export them anew with all bits; an 8-bit conversion lost the rest."
    ),
    "uneven_grey_levels": Rule(
        "warning",
        "images whose histogram has gaps",
        "Export them anew: contrast was stretched after the conversion to 8 bits, not before.",
    ),
    "wrapped_grey_levels": Rule(
        "warning",
        "images whose grey levels run over from white to black",
        "Export them anew: values were cut to 8 bits without scaling.",
    ),
    "saturated": Rule(
        "warning",
        "images with large areas of the least or the greatest value",
        "Export them anew with a wider window, where the anatomy is clipped.",
    ),
    "implausible_spacing": Rule(
        "warning", "images whose pixel spacing cannot be true", "Correct the spacing: lengths and areas rest on it."
    ),
    "anisotropic_spacing": Rule(
        "warning", "images whose pixels are not square", "Correct the spacing, or resample to square pixels."
    ),
    "mixed_spacing": Rule(
        "info", "images with another source of pixel spacing", "Millimetres of different planes are not comparable."
    ),
    "absent_spacing": Rule(
        "info", "images without pixel spacing", "Their lengths are in pixels, those of others in mm."
    ),
    "mixed_sizes": Rule("info", "images of another size or shape", "Nothing, if they show the same field of view."),
    "mixed_bit_depth": Rule("info", "images of another bit depth", "Nothing, if they come from another device."),
    "mask_values": Rule("info", "masks written with other grey levels", "Nothing: two levels are read alike."),
    "mask_resolution": Rule("info", "masks of another size than their image", "Nothing, if they cover the same field."),
    "burned_in": Rule(
        "info", "images with burnt-in text (not shown here)", "Blank the text before pictures are shared."
    ),
    "reading_note": Rule("info", "files that were read with a remark", "Read the remark."),
    "outlier_image": Rule("info", "images unlike the rest", _OTHER_THAN_THE_REST),
    "outlier_area": Rule("info", "masks of unusual area", _OTHER_THAN_THE_REST),
    "outlier_position": Rule("info", "masks in an unusual place", _OTHER_THAN_THE_REST),
    "outlier_intensity": Rule("info", "masks over unusual grey values", _OTHER_THAN_THE_REST),
}
"""By code, in the order of a report."""
