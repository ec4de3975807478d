"""What masks of certain classes give beside their areas: one entry a number."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from medseg.metrics.cardiothoracic import Point, measure_ctr


class Measured(Protocol):
    """A number, and how an overlay shows it."""

    @property
    def value(self) -> float:
        """The number."""

    @property
    def words(self) -> str:
        """What it is, and its value."""

    @property
    def lines(self) -> Sequence[Sequence[Point]]:
        """Lines through `(row, column)` on the masks."""

    @property
    def warnings(self) -> Sequence[str]:
        """What makes it doubtful."""


@dataclass(frozen=True)
class Measurement:
    """A number that is measured where a model has the classes it needs."""

    name: str
    """Its column in a report, and how its scores begin in an evaluation."""
    classes: tuple[str, ...]
    views: Mapping[str, tuple[str, ...]]
    """Values of ViewPosition that it has a meaning on, each with the warnings that it brings."""
    measure: Callable[..., Measured | None]
    """Measures masks `(rows, columns)` of `classes`, in their order; None where they do not show it."""


CTR = Measurement(
    name="ctr",
    classes=("lungs", "heart"),
    views={"PA": (), "AP": ("ctr of an AP view: the heart appears larger than in a PA view",)},
    measure=measure_ctr,
)
MEASUREMENTS = (CTR,)


def choose_measurements(classes: Collection[str]) -> list[Measurement]:
    """The measurements that masks of `classes` allow."""
    return [each for each in MEASUREMENTS if set(each.classes) <= set(classes)]
