"""Measurements on the masks of certain classes. There is one entry for each number."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from medseg.metrics.cardiothoracic import Point, measure_ctr


class Measured(Protocol):
    """A measured number, with its text and lines for an overlay."""

    @property
    def value(self) -> float:
        """The measured number."""

    @property
    def words(self) -> str:
        """The label: name and value."""

    @property
    def lines(self) -> Sequence[Sequence[Point]]:
        """Lines through points `(row, column)` of the masks."""

    @property
    def warnings(self) -> Sequence[str]:
        """Reasons to doubt the number."""

    @property
    def faults(self) -> Sequence[str]:
        """Reasons not to rely on it at all, in which case it is left out."""


@dataclass(frozen=True)
class Measurement:
    """A number that is measured if a model has the classes for it."""

    name: str
    """Name of its column in a report, and first part of the names of its scores in an evaluation."""
    classes: tuple[str, ...]
    views: Mapping[str, tuple[str, ...]]
    """Values of ViewPosition for which the number is meaningful, each with the warnings to give."""
    measure: Callable[..., Measured | None]
    """Function on the masks `(rows, columns)` of `classes`, in this order. Returns None if it cannot be measured."""


CTR = Measurement(
    name="ctr",
    classes=("lungs", "heart"),
    views={"PA": (), "AP": ("ctr of an AP view: the heart appears larger than in a PA view",)},
    measure=measure_ctr,
)
MEASUREMENTS = (CTR,)


def choose_measurements(classes: Collection[str]) -> list[Measurement]:
    """The measurements that are possible with masks of `classes`."""
    return [each for each in MEASUREMENTS if set(each.classes) <= set(classes)]
