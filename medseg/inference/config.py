"""The settings of prediction."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from medseg.config import Section


class PredictConfig(Section):
    """How probabilities become masks."""

    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["best"] = 0.5
    """The probability from which a pixel is foreground (article: 0.5); best takes each class's own from validation."""

    batch_size: PositiveInt = 4
    """Pictures in a step of the network."""
