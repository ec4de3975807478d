"""The settings of an evaluation."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from medseg.config import Section


class EvaluationConfig(Section):
    """How a model is measured and reported."""

    seed: NonNegativeInt = 0
    """Seed of the random resampling that is used for the confidence intervals and p-values."""

    by: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Manifest columns, such as `by=[site,view]`. The scores are also given for each value of these columns."""

    stress: bool = False
    """Measure how the Dice falls if the radiographs are turned, shifted, blurred, darkened and so on. This takes
    minutes."""

    stress_cases: PositiveInt = 30
    """Number of cases in the stress test, chosen by a hash of their pixels."""

    shown: NonNegativeInt = 6
    """Number of cases shown as images in each group of the report: worst, median and best. MLflow shows up to 6 of the
    worst cases."""

    @field_validator("by", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        return tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else given


class QuantizationConfig(Section):
    """How int8 is calibrated, and how much accuracy it may lose."""

    num_images: PositiveInt = 100
    """Largest number of training images used to measure the ranges of activations."""

    max_dice_loss: NonNegativeFloat = 0.002
    """Largest allowed mean loss of Dice from the fp32 to the int8 model. It applies to each class. The Dice is measured
    against the reference masks."""

    max_case_loss: NonNegativeFloat = 0.03
    """Largest allowed loss of Dice in any single case, from the fp32 to the int8 model. It applies to each class."""

    max_ctr_difference: NonNegativeFloat = 0.01
    """Largest allowed mean absolute difference between the cardiothoracic ratios of the fp32 and the int8 model. If
    only one of the two gives a ratio for a case, the difference counts as 1."""
