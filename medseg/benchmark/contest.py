"""Times that can be compared: who is measured takes turns, A B C A B C, so that all meet the same disturbances."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypedDict

import numpy as np
import torch

from medseg.benchmark.config import Part

ARTICLE = "article"
"""The name of the article's loop in every contest."""
UNSAVED = f"{ARTICLE}, nothing saved"
"""That of its training loop without its images and weights, as ours is measured."""
Turn = Callable[[], float]
"""Does its work once and returns the seconds that count."""


class Details(TypedDict, total=False):
    """What is known of a contestant beside its time."""

    size: int  # rows of a matrix product
    loop_seconds: float  # of the article's whole loop for an image, reading and writing included
    dice: dict[str, float]  # by class, of its masks with those of PyTorch's plain fp32; the mean over `cases`
    worst_dice: float
    cases: int
    batch_size: int
    ratio_to_nothing_saved: float
    shares: Mapping[str, float]  # of its time
    backend: str
    steady_images_per_second: float  # its start left out
    best_dice: float
    steps: int
    curve: list[tuple[float, float]]  # seconds of training, and the Dice then


@dataclass(frozen=True)
class Contestant:
    """Who takes turns, and what came of it."""

    name: str
    gflop: float | None = None
    """Work of a turn, 1e9 operations, a multiplication and an addition being two; None where it has no such measure."""
    note: str = ""
    """Why it was not measured, or what else is to be said."""
    turns: tuple[float, ...] = ()
    """Seconds an image (a matrix product, a training to its goal), one figure a turn; empty if nothing was timed."""
    at_least: float | None = None
    """Seconds that were spent in vain, where a goal was not reached."""
    details: Details = field(default_factory=Details)
    turn: Turn | None = None
    """None if this machine cannot do it, or no turns are needed."""
    warm_up: Callable[[], object] | None = None
    """What goes before the turns and does not count: it compiles, allocates, fills caches. None: a turn."""
    tell: Callable[[Mapping[str, float]], Details] = lambda medians: {}
    """The details, after the last turn, given the median seconds of all."""

    @property
    def seconds(self) -> float | None:
        """The median of its turns."""
        return median(self.turns) if self.turns else None

    @property
    def gflops(self) -> float | None:
        """1e9 operations a second."""
        return None if self.seconds is None or self.gflop is None else self.gflop / self.seconds


@dataclass(frozen=True)
class Contest:
    """Those who took turns."""

    part: Part
    title: str
    contestants: Sequence[Contestant]
    reference: str = ARTICLE
    """The one that ratios are taken to."""
    products: Sequence[Contestant] = ()
    """The matrix products that took turns with them, each named after its precision."""
    unit: str = "image"
    """What a time is the time of."""

    @property
    def limit(self) -> Contestant | None:
        """The fastest of the matrix products: in bf16 where the machine has it, else in fp32."""
        return max(self.products, key=lambda product: product.gflops or 0.0, default=None)

    @property
    def limit_precision(self) -> str | None:
        """`bf16` or `fp32`."""
        return None if self.limit is None else self.limit.name.split()[0]

    @property
    def _referred(self) -> Contestant:
        return next(who for who in self.contestants if who.name == self.reference)

    @property
    def is_bound(self) -> bool:
        """Whether the reference did not reach its goal, so that ratios are at least what they say."""
        return self._referred.at_least is not None

    def ratio(self, who: Contestant) -> float | None:
        """How often as fast as the reference: the quotient of the medians; at least that, where `is_bound`."""
        seconds = self._referred.seconds or self._referred.at_least
        return None if seconds is None or who.seconds is None else seconds / who.seconds

    def fraction(self, who: Contestant, precision: str | None = None) -> float | None:
        """The share of the rate of the limit, or of the product in `precision`, which may be far below the limit."""
        named = [product for product in self.products if product.name.split()[0] == precision]
        product = self.limit if precision is None else named[0] if named else None
        return None if product is None or not product.gflops or who.gflops is None else who.gflops / product.gflops

    def to_dict(self) -> dict[str, Any]:
        """Plain values, all that is known."""
        return {
            "part": self.part,
            "title": self.title,
            "unit": self.unit,
            "reference": self.reference,
            "limit": None if self.limit is None else self._describe(self.limit),
            "limit_precision": self.limit_precision,
            "products": [self._describe(product) for product in self.products],
            "rows": [self._describe(who) for who in self.contestants],
        }

    def _describe(self, who: Contestant) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        if who.seconds is not None:
            figures = {
                "seconds": {"median": who.seconds, "quartiles": find_quartiles(who.turns), "turns": who.turns},
                "rate": 1 / who.seconds,
                "gflop": who.gflop,
                "gflops": who.gflops,
                "fraction_of_limit": self.fraction(who),
                "fraction_of_bf16": self.fraction(who, "bf16"),
            }
            if who in self.contestants:
                quotients = [a / b for a, b in zip(self._referred.turns, who.turns, strict=False)]
                figures["ratio"] = self.ratio(who)
                figures["ratio_is_a_lower_bound"] = self.is_bound
                figures["ratio_quartiles"] = find_quartiles(quotients) if quotients else None
        return {"name": who.name, **figures, "note": who.note, **who.details}


def compete(contestants: Sequence[Contestant], least_turns: int, seconds: float) -> list[Contestant]:
    """The same with their times: at least `least_turns`, until `seconds` are over.

    They no longer hold what took the turns, networks and images, which may go.
    """
    able = {who.name: who.turn for who in contestants if who.turn is not None}
    for who in contestants:
        if who.turn is not None:
            (who.warm_up or who.turn)()
    found: dict[str, list[float]] = {name: [] for name in able}
    start, number = time.perf_counter(), 0
    while number < least_turns or time.perf_counter() - start < seconds:
        for name, turn in able.items():
            found[name].append(turn())
        number += 1
    medians = {name: median(turns) for name, turns in found.items()}
    return [
        Contestant(who.name, who.gflop, who.note, tuple(found[who.name]), details=who.tell(medians))
        if who.name in able
        else who
        for who in contestants
    ]


def find_quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile, linear between values; a single value is both."""
    low, high = np.quantile(values, [0.25, 0.75]).tolist()
    return low, high


def timed(work: Callable[[], object], device: torch.device) -> Turn:
    """The turn that does `work`, on a GPU to its end."""

    def turn() -> float:
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    return turn


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
