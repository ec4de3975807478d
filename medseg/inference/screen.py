"""Which pictures a model is for, and what is doubtful about those it takes."""

from collections.abc import Iterator

from medseg.model.checkpoint import Accepts
from medseg.radiograph import Radiograph
from medseg.radiograph.description import Description

_UPRIGHT = ("L\\F",)


def screen(found: Description, accepts: Accepts, colour: bool) -> str | None:
    """Why a DICOM object is not for the model, as `code: text`; None where it is, or where no tag says otherwise.

    Modality decides, not the SOP class (real CR images are stored as Secondary Capture).
    """
    if not found.is_image:
        return f"object: {found.sop_class_name or 'an object of an unknown class'} is no image"
    for code, value, accepted in (
        ("modality", found.modality, accepts.modalities),
        ("body-part", found.body_part, accepts.body_parts),
        ("view", found.view, accepts.views),
    ):
        if value is not None and accepted and value not in accepted:
            return f"{code}: {value} is not accepted ({', '.join(accepted)})"
    if found.enhanced:
        return "enhanced: the image keeps its attributes in functional groups, which are not read"
    if found.samples > 1 and not colour:
        return f"colour: SamplesPerPixel is {found.samples}; a grey picture is needed"
    return None


def list_doubts(picture: Radiograph, orientations: tuple[str, ...]) -> Iterator[str]:
    """Warnings on a picture that is taken: tags that are absent, another orientation, burned-in text."""
    if picture.kind != "dicom":
        return
    for name, value in (("modality", picture.modality), ("body part", picture.body_part), ("view", picture.view)):
        if value is None:
            yield f"{name} unknown: the tag is absent"
    expected = orientations or _UPRIGHT
    if picture.orientation is not None and picture.orientation not in expected:
        yield f"orientation {picture.orientation} is not the model's ({', '.join(expected)})"
    if picture.burned_in:
        yield "burned-in annotation: the pixels may show who the patient is"
