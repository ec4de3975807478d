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
    """Parts to measure. limit: the speed limit of the hardware, measured with matrix products. prediction: the network
    alone. folder: predicting a folder of DICOM files. training: one training step. time_to_dice: the training time
    until a validation Dice is reached."""

    widths: Annotated[tuple[Width, ...], Field(min_length=1)] | None = None
    """Widths of the measured networks, in channels at the first level. null: 16 and 64. If benchmark.model is given,
    null means the width of that model in the benchmark parts 'prediction' and 'folder'. The article uses 64."""

    sizes: Annotated[tuple[Side, ...], Field(min_length=1)] | None = None
    """Side lengths, in pixels, of the square images to predict. null: 256 and 512. If benchmark.model is given, null
    means the training size of that model. The article uses 512."""

    backends: tuple[Literal["torch", "inductor", "openvino"], ...] = ("torch", "openvino")
    """Libraries that run the network. Each is measured in every precision that it supports. inductor takes a minute to
    compile first."""

    model: ExistingPath | None = None
    """Model file to predict with. benchmark.widths must be multiples of its width. null: a network is trained briefly.
    The article's network runs with the weights of this model if both have the same architecture. If not, the table
    names the difference."""

    fit_seconds: PositiveFloat = 40.0
    """Training time of the network in seconds if benchmark.model is null. The default gives plausible masks."""

    cases: PositiveInt = 6
    """Number of validation cases used to compare the masks of each backend with the fp32 masks. The same number of
    training cases calibrates int8."""

    turns: PositiveInt = 3
    """Minimum number of times that each compared program is measured, after one warm-up."""

    seconds: NonNegativeFloat = 8.0
    """Minimum duration of each comparison in seconds. Measurements are repeated until this time has passed."""

    product_seconds: PositiveFloat = 0.2
    """Approximate duration of one matrix product, in seconds."""

    training_size: Side = 256
    """Side length, in pixels, of the square images of a training step."""

    batch_size: PositiveInt = 8
    """Batch size of a training step of medseg. The article's loop has a batch size of 1."""

    num_files: PositiveInt = 40
    """Number of DICOM files in the folder."""

    file_size: Annotated[int, Field(ge=64, le=4096)] = 2000
    """Number of rows of the image in each DICOM file."""

    folder_turns: PositiveInt = 1
    """Number of times that each compared program predicts all images of the folder."""

    dice: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Validation Dice that the time_to_dice part must reach."""

    of_class: str | None = None
    """Class whose Dice must reach benchmark.dice. mean: the mean over all classes must reach it. null: lungs if the
    data have that class, else mean."""

    article_width: Width = 64
    """Width of the article's network in the time_to_dice part."""

    minutes: PositiveFloat = 1.5
    """Time limit of the article's training in the time_to_dice part, in minutes. The training of medseg ends at this
    limit or at train.minutes, whichever is shorter."""

    validate_seconds: PositiveFloat = 5.0
    """Seconds of training between two validations. The duration of the validations does not count."""
