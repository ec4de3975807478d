"""Settings of the synthetic data set."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from medseg.config import Section

Side = Annotated[int, Field(ge=64, le=4096)]
"""Rows of a phantom."""


class PhantomConfig(Section):
    """The synthetic data set for data.root=null; not clinical."""

    kind: Literal["chest", "varied", "darken"] = "chest"
    """Type of data set. chest: chest radiographs with masks. varied: chests that vary more than real ones, with masks
    of ten structures. darken: RGB scenes and their darkened versions (article, section 3)."""

    num_cases: PositiveInt = 60
    """Number of patients, each with one radiograph."""

    size: Side = 320
    """Number of rows of each image, in pixels."""

    seed: NonNegativeInt = 0
    """Random seed. The same seed gives the same files."""
