"""Checks whether an image is for the model, and warnings about accepted images."""

from collections.abc import Iterator, Mapping

from medseg.model.checkpoint import Accepts
from medseg.radiograph import Radiograph
from medseg.radiograph.dicom.description import Description
from medseg.radiograph.dicom.terms import DEFINED

_UPRIGHT = ("L\\F",)


def screen(found: Description, accepts: Accepts) -> str | None:
    """The reason why a DICOM object is not for the model, as `code: text`; None if it is. Missing tags are accepted.

    The Modality tag is checked, not the SOP class, because some real CR images are stored as Secondary Capture.
    """
    if not found.is_image:
        return f"object: {found.sop_class_name or 'an object of an unknown class'} is not an image"
    if reason := screen_terms(found, accepts):
        return reason
    if found.enhanced:
        return "enhanced: the attributes are in functional groups, which are not supported"
    return None


def screen_terms(found: Description | Radiograph, accepts: Accepts) -> str | None:
    """The reason why an image with these terms is not for the model, as `code: text`; None if it is."""
    shown = name_terms(found, accepts)
    for name, value, accepted in (
        ("modality", found.modality, accepts.modalities),
        ("body_part", found.body_part, accepts.body_parts),
        ("view", found.view, accepts.views),
    ):
        if value is not None and accepted and value not in accepted:
            term = shown[name] or "another term"
            return f"{name.replace('_', '-')}: {term} is not accepted ({', '.join(accepted)})"
    return None


def name_terms(found: Description | Radiograph, accepts: Accepts) -> dict[str, str | None]:
    """Modality, body part and view for the report, if the DICOM standard defines the term or the model accepts it.

    Other text is left out, because it may name a person.
    """
    return {
        name: value if value in DEFINED[keyword] or value in accepted else None
        for name, keyword, value, accepted in (
            ("modality", "Modality", found.modality, accepts.modalities),
            ("body_part", "BodyPartExamined", found.body_part, accepts.body_parts),
            ("view", "ViewPosition", found.view, accepts.views),
        )
    }


def list_doubts(
    radiograph: Radiograph, terms: Mapping[str, str | None], orientations: tuple[str, ...]
) -> Iterator[str]:
    """Warnings about an accepted image: unknown `terms`, another orientation, burned-in text."""
    if radiograph.kind != "dicom":
        return
    for name in ("modality", "body_part", "view"):
        if terms.get(name) is None:
            yield f"{name.replace('_', ' ')} unknown"
    expected = orientations or _UPRIGHT
    if radiograph.orientation is not None and radiograph.orientation not in expected:
        yield f"orientation {radiograph.orientation}: the model was trained on {', '.join(expected)}"
    if radiograph.burned_in:
        yield "burned-in annotation: the pixels may show text that identifies the patient"
