"""The settings of data sets, splits, preprocessing and augmentation."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from medseg.config import ExistingPath, Section

ClassName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=16, le=8192)]
Color = Literal["grey", "refuse", "rgb"]


def _check_label_values(given: Any) -> Any:
    """The values of one class as a tuple, or `nonzero`; a single value may stand without brackets."""
    values = (given,) if isinstance(given, int) else given
    if values == "nonzero":
        return values
    if isinstance(values, list | tuple) and values and all(type(value) is int and value for value in values):
        return tuple(values)
    raise ValueError("give whole numbers other than 0 in brackets, or nonzero")


LabelValues = Annotated[tuple[int, ...] | Literal["nonzero"], BeforeValidator(_check_label_values)]


def rename_color(given: Any) -> Any:
    """Settings as they are now, from recipes and model files that say `colour`, true or false."""
    if isinstance(given, dict) and isinstance(given.get("colour"), bool):
        return {"color": "rgb" if given["colour"] else "grey", **{k: v for k, v in given.items() if k != "colour"}}
    return given


class CasesConfig(Section):
    """Which radiographs and masks."""

    root: ExistingPath | None = None
    """A folder (images/, masks/), a CSV manifest or a dataset.json."""

    classes: tuple[ClassName, ...] | None = None
    """Classes in channel order. null: data.label_values, else the sorted mask folders, columns, labels or segments."""

    label_values: Annotated[dict[ClassName, LabelValues], Field(min_length=1)] | None = None
    """What the values of masks mean: each class with its values, as in `{lungs: [1], heart: [2, 3]}`; in
    `{lungs: nonzero}` every value but 0 is lungs. null: in a label map, value i is the i-th of data.classes."""

    ignore_value: int | None = None
    """Mask value of pixels that are left out of loss and metrics. null: the label `ignore` of a dataset.json."""

    missing: Literal["error", "ignore"] = "error"
    """A case without one of the classes: an error, or that class of that case left out of loss and metrics."""

    invert: bool = False
    """Whether images show air bright and bone dark. DICOM and the raw .IMG of JSRT say so themselves."""

    nifti_rows: Literal["top", "bottom"] | None = None
    """Which row is stored first in NIfTI files without orientation codes, the top or the bottom one. null: bottom if
    dcm2niix wrote the file, else top, with a warning."""

    exif: Literal["apply", "ignore"] | None = None
    """The EXIF orientation of images. apply: turn the image, as browsers do. ignore: read the image as stored. null:
    apply, or ignore if the masks fit the stored image alone; an error if the masks fit both."""


class DataSetConfig(CasesConfig):
    """Which radiographs and masks, and how they are read."""

    presentation: Literal["stored", "voi"] = "stored"
    """What the network sees of a DICOM file: modality values, or the picture through its VOI LUT or window."""

    presentation_intent: tuple[Literal["FOR PRESENTATION", "FOR PROCESSING"], ...] = ("FOR PRESENTATION",)
    """Accepted values of PresentationIntentType; a file without the tag is accepted."""

    color: Color = "grey"
    """Color images. grey: read as grey, with a warning, if channels hardly differ, else refused. refuse: refused if
    they differ at all. rgb: learn the RGB image targets/<id>.* instead of masks (the article's section 3)."""

    _rename = model_validator(mode="before")(rename_color)

    @property
    def reading(self) -> dict[str, Any]:
        """The keyword arguments of `read_radiograph`."""
        return self.model_dump(include={"presentation", "presentation_intent", "invert", "color", "nifti_rows", "exif"})


class DataConfig(DataSetConfig):
    """Which radiographs and masks, how they are read, and what the model will be for."""

    root: ExistingPath | None = None
    """A folder (images/, masks/), a CSV manifest or a dataset.json; null draws synthetic phantoms (not clinical)."""

    modalities: tuple[str, ...] | None = None
    """Modalities the model accepts at prediction; null takes those of the training images, else CR and DX."""

    body_parts: tuple[str, ...] | None = None
    """BodyPartExamined values the model accepts; null takes those of the training images, else any."""

    views: tuple[str, ...] | None = None
    """ViewPosition values the model accepts; null takes those of the training images, else any."""

    cache_gib: PositiveFloat = 4.0
    """Memory for preprocessed cases, GiB; a larger set is cached in a file below output.dir."""


class EvaluateDataConfig(CasesConfig):
    """On which radiographs and masks a model is evaluated; how they are read the model file says."""

    root: ExistingPath
    """A folder (images/, masks/), a CSV manifest or a dataset.json."""

    subset: Literal["unseen", "all"] = "unseen"
    """Cases that the model was neither trained nor validated on, by their pixels; or all, as every table then says."""


class PhantomConfig(Section):
    """The synthetic data set that stands in where data.root is null: synthetic, not clinical."""

    kind: Literal["chest", "darken"] = "chest"
    """Chest radiographs with masks, or RGB scenes with their darkened versions (the article's section 3)."""

    num_cases: PositiveInt = 60
    """Patients, one radiograph each."""

    size: Annotated[int, Field(ge=64, le=4096)] = 320
    """Rows of a detector image, pixels."""

    seed: NonNegativeInt = 0
    """The same seed gives the same files."""


class SplitConfig(Section):
    """Which patients train, validate and test."""

    fractions: tuple[Fraction, Fraction, Fraction] = (0.7, 0.15, 0.15)
    """Shares of patients in training, validation and test. The patients, ordered by a hash of seed and patient, are cut
    into blocks; an added patient moves about one other patient at each border."""

    seed: NonNegativeInt | None = None
    """Seed of the hash; null takes the run's seed."""

    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Number of cross-validation folds, blocks of the ordered patients. null: split by fractions."""

    fold: NonNegativeInt = 0
    """The fold that is the test set where split.folds is given, from 0."""

    patients: Literal["auto", "image"] = "auto"
    """Who a patient is: a manifest's column, the DICOM PatientID and its issuer, else the image; or always that."""

    allow_duplicates: bool = False
    """Train although two near-identical images, or one patient, stand in different splits."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"split.fractions sum to {sum(self.fractions):g}, not 1")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"split.fold={self.fold} must be below split.folds={self.folds}")
        return self


def share_seed(given: Any) -> Any:
    """A command's settings with its `seed` as that of `split`, unless that has its own."""
    if isinstance(given, dict) and isinstance(split := given.get("split") or {}, dict) and split.get("seed") is None:
        return {**given, "split": {**split, "seed": given.get("seed", 0)}}
    return given


class PreprocessConfig(Section):
    """From a radiograph to what the network sees, and back; a model file carries it."""

    size: tuple[Size, Size] = (256, 256)
    """Rows and columns of the network's input."""

    fit: Literal["pad", "stretch"] = "pad"
    """Keep the aspect ratio and pad with black, or stretch both axes."""

    intensity: Literal["percentiles", "fixed"] = "percentiles"
    """Scale between two percentiles of the picture inside its flat borders, or from a fixed range."""

    percentiles: tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]] = (1.0, 99.0)
    """The percentiles that become 0 and 1; values beyond are clipped."""

    range: tuple[float, float] = (0.0, 255.0)
    """The values that become 0 and 1 where intensity=fixed; values beyond are clipped."""

    restore: Literal["linear", "nearest"] = "linear"
    """Back to the original size: probabilities linearly, then threshold; or threshold, then nearest (the article)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("percentiles", "range"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"preprocess.{name}: {low:g} must be below {high:g}")
        return self


class AugmentConfig(Section):
    """Random changes of training batches, drawn anew each time, on the training device."""

    probability: Fraction = 0.9
    """Chance that a picture is changed in geometry, and again in intensity."""

    rotate_degrees: NonNegativeFloat = 15.0
    """Largest rotation to either side, degrees."""

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Largest relative change of size, each axis partly on its own."""

    shift: Fraction = 0.12
    """Largest shift as a fraction of the picture."""

    shear_degrees: Annotated[float, Field(ge=0, lt=45)] = 5.0
    """Largest shear, degrees."""

    elastic: NonNegativeFloat = 0.006
    """Standard deviation of the elastic displacement at its control points, as a fraction of the picture."""

    elastic_points: Annotated[int, Field(ge=2, le=32)] = 6
    """Control points of the elastic displacement along each axis."""

    gamma: NonNegativeFloat = 0.3
    """Largest change of gamma: exponents from exp(-gamma) to exp(gamma)."""

    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Largest relative change of contrast about the mean."""

    brightness: NonNegativeFloat = 0.1
    """Largest shift of brightness, in units of the scaled picture."""

    noise: NonNegativeFloat = 0.02
    """Largest standard deviation of added noise, in units of the scaled picture."""

    blur: NonNegativeFloat = 1.0
    """Largest standard deviation of blur, pixels, on a third of the pictures."""

    flip_columns: Fraction = 0.0
    """Chance of a left-right flip, where probability is not 0; 0 since left and right matter."""

    flip_rows: Fraction = 0.0
    """Chance of an up-down flip, where probability is not 0."""
