"""Settings of data sets, splits, preprocessing and augmentation."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    StringConstraints,
    model_validator,
)

from medseg.config import ExistingPath, Section

ClassName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=16, le=8192)]
Color = Literal["grey", "refuse", "rgb"]


def _check_label_values(given: Any) -> Any:
    """Return the values of one class as a tuple, or `nonzero`; a single value may be given without brackets."""
    values = (given,) if isinstance(given, int) else given
    if values == "nonzero":
        return values
    if isinstance(values, list | tuple) and values and all(type(value) is int and value for value in values):
        return tuple(values)
    raise ValueError("needs a list of whole numbers without 0, such as [1, 2], or the word nonzero")


def _check_colors(given: Any) -> Any:
    """Return the colors of each class as a tuple in lower case; a single color may be given without brackets."""
    if isinstance(given, dict):
        listed = {name: [colors] if isinstance(colors, str) else colors for name, colors in given.items()}
        every = [color for colors in listed.values() for color in (colors if isinstance(colors, list | tuple) else [0])]
        if all(listed.values()) and all(re.fullmatch("#[0-9a-fA-F]{6}", str(color)) for color in every):
            return {name: tuple(dict.fromkeys(map(str.lower, colors))) for name, colors in listed.items()}
    raise ValueError('needs colors in quotes, such as {lungs: "#ff0000", heart: ["#00ff00", "#00aa00"]}')


LabelValues = Annotated[tuple[int, ...] | Literal["nonzero"], BeforeValidator(_check_label_values)]
Colors = Annotated[dict[ClassName, tuple[str, ...]], Field(min_length=1), BeforeValidator(_check_colors)]


def rename_color(given: Any) -> Any:
    """Convert the old setting `colour` (true or false) of earlier recipes and model files to `color`."""
    if isinstance(given, dict) and isinstance(given.get("colour"), bool):
        return {"color": "rgb" if given["colour"] else "grey", **{k: v for k, v in given.items() if k != "colour"}}
    return given


class CasesConfig(Section):
    """Radiographs and their masks."""

    root: ExistingPath | None = None
    """Data set: a folder with images/ and masks/, a CSV manifest, a dataset.json, annotation files, or a zip or tar."""

    classes: tuple[ClassName, ...] | None = None
    """Classes, in the order of the output channels. null: the classes of data.label_values or data.colors. If these are
    null: the labels of dataset.json in their order there, or the sorted names of the mask folders, mask columns or
    segments. If the data set has no such names: the single class foreground."""

    label_values: Annotated[dict[ClassName, LabelValues], Field(min_length=1)] | None = None
    """Mask values of each class, for example `{lungs: [1], heart: [2, 3]}`. `{lungs: nonzero}`: every value except 0 is
    lungs. null: value i of a label map is the i-th class of data.classes."""

    colors: Colors | None = None
    """Colors of each class in colored masks: `{lungs: "#ff0000", heart: ["#00ff00", "#00aa00"]}`. Transparent pixels
    are background, and so are black pixels, unless black is listed. The name `background` lists more colors of the
    background; the name `ignore`, a color that is excluded from loss and metrics. null: masks have values, not
    colors."""

    ignore_value: int | None = None
    """Mask value of pixels that are excluded from loss and metrics. null: the label `ignore` of a dataset.json, if
    any."""

    missing: Literal["error", "ignore"] = "error"
    """Cases without a mask for some class. error: stop. ignore: exclude the missing class of that case from loss
    and metrics."""

    invert: bool = False
    """Invert images that show air bright and bone dark. No effect on DICOM and raw JSRT files (.IMG), which state their
    polarity."""

    nifti_rows: Literal["top", "bottom"] | None = None
    """Position of the first stored row in NIfTI files without orientation codes. top: top of the image. bottom: bottom
    of the image. null: bottom if dcm2niix wrote the file, else top with a warning."""

    exif: Literal["apply", "ignore"] | None = None
    """EXIF orientation of images. apply: turn the image, as browsers do. ignore: read the image as stored. null: turn
    the image, but not if its masks fit only the stored image; stop with an error if the masks fit both."""


class DataSetConfig(CasesConfig):
    """Radiographs, their masks, and how they are read."""

    presentation: Literal["stored", "voi"] = "stored"
    """Pixel values that are read from DICOM images. stored: modality values. voi: values after the VOI LUT or the
    window was applied."""

    presentation_intent: tuple[Literal["FOR PRESENTATION", "FOR PROCESSING"], ...] = ("FOR PRESENTATION",)
    """Accepted values of the DICOM tag PresentationIntentType. Files without the tag are accepted."""

    color: Color = "grey"
    """Color images. grey: read nearly gray images as grayscale, with a warning, and reject others. refuse: reject every
    image whose channels differ. rgb: learn the RGB images targets/<id>.* instead of masks (article, section 3)."""

    _rename = model_validator(mode="before")(rename_color)

    @property
    def reading(self) -> dict[str, Any]:
        """Keyword arguments for `read_radiograph`."""
        return self.model_dump(include={"presentation", "presentation_intent", "invert", "color", "nifti_rows", "exif"})


class DataConfig(DataSetConfig):
    """Radiographs, their masks, how they are read, and the images that the trained model accepts."""

    root: ExistingPath | None = None
    """Data set: a folder with images/ and masks/, a CSV manifest, a dataset.json, annotation files, or a zip or tar.
    null: synthetic phantoms, not clinical."""

    modalities: tuple[str, ...] | None = None
    """Modalities that the model accepts at prediction. null: the modalities of the training images; CR and DX if the
    training images name none."""

    body_parts: tuple[str, ...] | None = None
    """BodyPartExamined values that the model accepts at prediction. null: the values of the training images; any value
    if the training images name none."""

    views: tuple[str, ...] | None = None
    """ViewPosition values that the model accepts at prediction. null: the values of the training images; any value if
    the training images name none."""

    cache_gib: PositiveFloat = 4.0
    """Memory of a machine for preprocessed cases, in GiB. A larger data set is cached in files below output.dir."""


class EvaluateDataConfig(CasesConfig):
    """Radiographs and masks for the evaluation. The model file determines how they are read."""

    root: ExistingPath
    """Data set: a folder with images/ and masks/, a CSV manifest, a dataset.json, annotation files, or a zip or tar."""

    subset: Literal["unseen", "all"] = "unseen"
    """Cases to evaluate. unseen: only cases whose image is in neither the training set nor the validation set. all: all
    cases, including seen cases. Every table then states that seen cases are included."""


class SplitConfig(Section):
    """Patients for training, validation and test."""

    fractions: tuple[Fraction, Fraction, Fraction] = (0.7, 0.15, 0.15)
    """Shares of the patients in the training, validation and test sets. The patients are sorted by a hash of the
    seed and the patient ID, and the sorted list is divided into blocks. Adding a patient moves about one other patient
    across each border between blocks."""

    seed: NonNegativeInt | None = None
    """Seed of the hash. null: the seed of the run."""

    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Number of cross-validation folds; each fold is a block of the sorted patients. null: split by fractions."""

    fold: NonNegativeInt = 0
    """Fold used as the test set if split.folds is set, counted from 0."""

    patients: Literal["auto", "image"] = "auto"
    """How the patient of each image is found. auto: from the patient column of the manifest; if it gives none, from the
    DICOM PatientID and its issuer. Each image that is not a DICOM file counts as a different patient then. image: each
    image counts as a different patient."""

    allow_duplicates: bool = False
    """Train even if near-identical images, or images of one patient, are in different splits."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"split.fractions sum to {sum(self.fractions):g}; the sum must be 1")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"split.fold={self.fold} must be less than split.folds={self.folds}")
        return self


def share_seed(given: Any) -> Any:
    """Return a command's settings with its `seed` copied to `split`, unless `split` has a seed."""
    if isinstance(given, dict) and isinstance(split := given.get("split") or {}, dict) and split.get("seed") is None:
        return {**given, "split": {**split, "seed": given.get("seed", 0)}}
    return given


class PreprocessConfig(Section):
    """Conversion of a radiograph to the network input, and of the output back; saved in the model file."""

    size: tuple[Size, Size] = (256, 256)
    """Rows and columns of the network input."""

    fit: Literal["pad", "stretch"] = "pad"
    """Resizing to the network input. pad: keep the aspect ratio and pad with black. stretch: stretch both axes."""

    crop: Literal["none", "field"] = Field(default="none", exclude_if=lambda value: value == "none")
    """Part of the image that the network sees. none: the whole image. field: the exposed field, without flat borders
    (collimation, film edges). Masks are empty outside of it."""

    intensity: Literal["percentiles", "fixed"] = "percentiles"
    """Intensity scaling. percentiles: two percentiles of the image, preprocess.percentiles, become 0 and 1; uniform
    borders of the image are left out. fixed: the two values of preprocess.range become 0 and 1."""

    percentiles: tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]] = (1.0, 99.0)
    """Percentiles of the pixel values that become 0 and 1 if intensity=percentiles. Values outside are clipped."""

    range: tuple[float, float] = (0.0, 255.0)
    """Pixel values that become 0 and 1 if intensity=fixed. Values outside are clipped."""

    equalize: bool = Field(default=False, exclude_if=lambda value: not value)
    """Change the gray levels so that each one covers the same area (histogram equalization); black and white stay. The
    network then sees nearly the same image whatever the exposure and the gamma."""

    restore: Literal["linear", "nearest"] = "linear"
    """Resizing back to the original size. linear: resize the probabilities, then apply the threshold. nearest: apply
    the threshold, then resize by nearest neighbor (as in the article)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("percentiles", "range"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"preprocess.{name}: {low:g} must be less than {high:g}")
        return self


class AugmentConfig(Section):
    """Random changes of training batches, new for each batch, computed on the training device."""

    probability: Fraction = 0.9
    """Probability that the geometry of an image is changed. The intensity is changed with the same probability,
    independently. 0: no augmentation."""

    rotate_degrees: NonNegativeFloat = 15.0
    """Largest rotation in either direction, in degrees."""

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Largest relative change of size. Each axis is also stretched on its own by up to a third of this value."""

    shift: Fraction = 0.12
    """Largest shift, as a fraction of the image size."""

    shear_degrees: Annotated[float, Field(ge=0, lt=45)] = 5.0
    """Largest shear, in degrees."""

    elastic: NonNegativeFloat = 0.006
    """Standard deviation of the elastic displacement at its control points, as a fraction of the image size."""

    elastic_points: Annotated[int, Field(ge=2, le=32)] = 6
    """Number of control points of the elastic displacement along each axis."""

    gamma: NonNegativeFloat = 0.3
    """Largest change of gamma: the exponent lies between exp(-gamma) and exp(gamma)."""

    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Largest relative change of contrast around the mean."""

    brightness: NonNegativeFloat = 0.1
    """Largest change of brightness, for images scaled to [0, 1]."""

    noise: NonNegativeFloat = 0.05
    """Largest standard deviation of added noise, for images scaled to [0, 1]. Little noise is more likely than much: an
    image gets this value times u^4, where u is a random number between 0 and 1."""

    blur: NonNegativeFloat = 1.0
    """Largest standard deviation of the blur, in pixels of the training step. A third of the images are blurred."""

    sharpen: NonNegativeFloat = 0.0
    """Largest strength of edge enhancement, as scanners do it. A fifth of the images are sharpened."""

    shading: NonNegativeFloat = 0.0
    """Strength of a smooth change of brightness across an image, as scatter makes it: standard deviation of the factor
    at its control points."""

    saturate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest share of the contrast that is clipped at the dark or at the bright end, as a wrong exposure does. A sixth
    of the images are clipped at each end."""

    solarize: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Largest share of the contrast that is inverted from the bright end. A tenth of the images are changed."""

    invert: Fraction = 0.0
    """Probability of exchanging dark and bright."""

    cover: Fraction = 0.0
    """Probability that borders, a letter or boxes cover parts of an image, as collimation, markers and devices do."""

    flip_columns: Fraction = 0.0
    """Probability of flipping an image left to right. Keep 0 if left and right matter. Not used if augment.probability
    is 0."""

    flip_rows: Fraction = 0.0
    """Probability of flipping an image upside down. Not used if augment.probability is 0."""
