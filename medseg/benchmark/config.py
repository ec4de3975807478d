"""The settings of the benchmark."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from medseg.config import ExistingPath, Section

Part = Literal["limit", "prediction", "training", "folder", "time_to_dice"]
Side = Annotated[int, Field(ge=32, le=8192, multiple_of=16)]
"""That of a picture which the article's network takes: it is halved four times, and what is left must reflect."""
Width = Annotated[int, Field(ge=8, le=512)]
"""Where all channels of a layer may be dropped at once, the article's gradients overflow: each normalisation of a
constant multiplies them by 300. With 2 channels that took a dozen steps; with 16 it is 4e-9 a layer."""


class BenchmarkSettings(Section):
    """What is measured, and for how long."""

    parts: Annotated[tuple[Part, ...], Field(min_length=1)] = (
        "limit",
        "prediction",
        "folder",
        "training",
        "time_to_dice",
    )
    """Matrix products; the network alone; a folder of DICOM files; a training step; the time to a validation Dice."""

    widths: Annotated[tuple[Width, ...], Field(min_length=1)] | None = None
    """Channels of the first level of the networks that are measured (article: 64). null: 16 and 64; in prediction the
    width of benchmark.model if that is given."""

    sizes: Annotated[tuple[Side, ...], Field(min_length=1)] | None = None
    """Rows, and columns, of the images that are predicted (article: 512). null: 256 and 512, or the size that
    benchmark.model was trained at."""

    backends: tuple[Literal["torch", "inductor", "openvino"], ...] = ("torch", "openvino")
    """Libraries that run the network, each in every precision it knows; inductor compiles for a minute at first."""

    model: ExistingPath | None = None
    """A model file whose network is predicted with, widened where a width is a multiple of its own. null: one is
    trained. The article's network has the same weights if the model is of its form; else the table says what it is."""

    fit_seconds: PositiveFloat = 40.0
    """How long that one is trained, so that masks look like masks."""

    cases: PositiveInt = 6
    """Validation cases whose masks on each backend are compared with fp32's; training cases that int8 is made with."""

    turns: PositiveInt = 3
    """Least number of turns that each contestant takes, beside one that does not count."""

    seconds: NonNegativeFloat = 8.0
    """Turns go on until that much time is over, in each comparison."""

    product_seconds: PositiveFloat = 0.2
    """About what one matrix product may take."""

    training_size: Side = 256
    """Rows, and columns, of the pictures of a training step."""

    batch_size: PositiveInt = 8
    """Pictures in a training step of this project; the article takes one."""

    num_files: PositiveInt = 40
    """DICOM files in the folder."""

    file_size: Annotated[int, Field(ge=64, le=4096)] = 2000
    """Rows of each."""

    folder_turns: PositiveInt = 1
    """How often the folder is predicted in each way."""

    dice: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The validation Dice to be reached."""

    of_class: str | None = None
    """The class whose Dice that is, or mean; null takes lungs where the data have them, else the mean over classes."""

    article_width: Width = 64
    """Width of the article's network on the way to that Dice."""

    minutes: PositiveFloat = 1.5
    """Minutes that the article's loop may take for it; this project's may take train.minutes, at most as many."""

    validate_seconds: PositiveFloat = 5.0
    """Seconds of training between two looks at the validation cases, which do not count."""
