"""The settings of an evaluation."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from medseg.config import Section


class EvaluationConfig(Section):
    """What is found out about a model."""

    seed: NonNegativeInt = 0
    """Decides the resamples of the intervals and of the test of a comparison."""

    by: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Columns of the manifest whose values are also evaluated one by one: `by=[site,view]`."""

    stress: bool = False
    """Measure how the Dice falls when the radiographs are turned, shifted, blurred, darkened, ...; takes minutes."""

    stress_cases: PositiveInt = 30
    """Number of cases under stress; a hash of their pixels chooses them."""

    shown: NonNegativeInt = 6
    """Number of pictures of the worst, of median and of the best cases in the report, each; MLflow shows up to 6 of the
    worst."""

    @field_validator("by", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        return tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else given


class QuantizationConfig(Section):
    """What int8 is measured on, and what it may lose."""

    num_images: PositiveInt = 100
    """Training images that the ranges of activations are measured on, at most."""

    max_dice_loss: NonNegativeFloat = 0.002
    """Largest mean loss of Dice of a class, against the references."""

    max_case_loss: NonNegativeFloat = 0.03
    """Largest loss of Dice of a class in one case."""

    max_ctr_difference: NonNegativeFloat = 0.01
    """Largest mean absolute difference of the cardiothoracic ratio; one that is lost counts 1."""
