"""The settings of the benchmark."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from medseg.config import ExistingPath, Section

Part = Literal["limit", "prediction", "training", "folder", "time_to_dice"]
Side = Annotated[int, Field(ge=32, le=8192, multiple_of=16)]
"""Rows and columns that the article's network accepts: four downsampling steps, then reflect padding of the rest."""
Width = Annotated[int, Field(ge=8, le=512)]
"""At least 8 channels: dropout may drop all channels of a narrow layer at once, and the article's gradients overflow,
since each normalization of a constant multiplies them by 300. With 2 channels this took a dozen steps; with 16 its
probability is 4e-9 per layer."""


class BenchmarkSettings(Section):
    """The parts to measure, and for how long."""

    parts: Annotated[tuple[Part, ...], Field(min_length=1)] = (
        "limit",
        "prediction",
        "folder",
        "training",
        "time_to_dice",
    )
    """Parts to measure. limit: matrix products. prediction: the network alone. folder: a folder of DICOM files.
    training: a training step. time_to_dice: the time to a validation Dice."""

    widths: Annotated[tuple[Width, ...], Field(min_length=1)] | None = None
    """Widths of the measured networks: channels of the first level (article: 64). null: 16 and 64; for prediction, the
    width of benchmark.model if given."""

    sizes: Annotated[tuple[Side, ...], Field(min_length=1)] | None = None
    """Sizes of the predicted images: rows, equal to columns (article: 512). null: 256 and 512, or the training size of
    benchmark.model if given."""

    backends: tuple[Literal["torch", "inductor", "openvino"], ...] = ("torch", "openvino")
    """Libraries that run the network, each in every precision it supports. inductor first compiles for a minute."""

    model: ExistingPath | None = None
    """Model file to predict with; benchmark.widths must be multiples of its width. null: a network is trained briefly.
    If the article's network has the architecture of this model, it gets its weights. If not, the table names the
    difference."""

    fit_seconds: PositiveFloat = 40.0
    """Training time of the network in seconds if benchmark.model is null. The default gives plausible masks."""

    cases: PositiveInt = 6
    """Number of validation cases used to compare the masks of each backend with the fp32 masks. The same number of
    training cases calibrates int8."""

    turns: PositiveInt = 3
    """Minimum number of measurements of each program, after one warm-up."""

    seconds: NonNegativeFloat = 8.0
    """Minimum duration of each comparison in seconds. Measurements are repeated until it has passed."""

    product_seconds: PositiveFloat = 0.2
    """Approximate duration of one matrix product, in seconds."""

    training_size: Side = 256
    """Size of the images of a training step: rows, equal to columns."""

    batch_size: PositiveInt = 8
    """Batch size of this project's training step (article: 1)."""

    num_files: PositiveInt = 40
    """Number of DICOM files in the folder."""

    file_size: Annotated[int, Field(ge=64, le=4096)] = 2000
    """Rows of each DICOM file."""

    folder_turns: PositiveInt = 1
    """Number of times that each compared program predicts all images of the folder."""

    dice: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Validation Dice that the time_to_dice part must reach."""

    of_class: str | None = None
    """Class whose Dice must reach benchmark.dice, or mean: the mean over classes. null: lungs if the data have that
    class, else mean."""

    article_width: Width = 64
    """Width of the article's network in the time_to_dice part."""

    minutes: PositiveFloat = 1.5
    """Time limit of the article's training in the time_to_dice part, in minutes. The limit of this project's training
    is train.minutes, but never more than this."""

    validate_seconds: PositiveFloat = 5.0
    """Seconds of training between two validations. The time of a validation does not count."""
