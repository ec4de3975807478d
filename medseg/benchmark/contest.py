"""Comparable times: contestants take turns, A B C A B C, so that disturbances affect all of them alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypedDict

import numpy as np
import torch

from medseg.benchmark.config import Part

ARTICLE = "article"
"""Name of the article's loop in every contest."""
UNSAVED = f"{ARTICLE}, nothing saved"
"""Name of the article's training loop without saving images and weights, comparable to medseg's step."""
Turn = Callable[[], float]
"""Does its work once and returns the timed seconds."""


class Details(TypedDict, total=False):
    """Details of a contestant other than its time."""

    size: int  # rows of a matrix product
    loop_seconds: float  # of the article's whole loop per image, reading and writing included
    dice: dict[str, float]  # by class, of its masks against those of PyTorch in fp32; the mean over `cases`
    worst_dice: float
    cases: int
    batch_size: int
    ratio_to_nothing_saved: float
    shares: Mapping[str, float]  # by part of its work, share of its time
    backend: str
    steady_images_per_second: float  # without start-up
    best_dice: float
    steps: int
    curve: list[tuple[float, float]]  # seconds of training, and the Dice at that time


@dataclass(frozen=True)
class Contestant:
    """A contestant that takes turns, and its results."""

    name: str
    gflop: float | None = None
    """Work per `unit` in 1e9 operations, counting a multiplication and an addition as two; None if not defined."""
    note: str = ""
    """Reason why it was not measured, or another remark."""
    turns: tuple[float, ...] = ()
    """Seconds per image (or per matrix product, or per training), one value per turn; empty if nothing was timed."""
    at_least: float | None = None
    """Seconds spent without reaching the goal; None if it was reached, or there is no goal."""
    details: Details = field(default_factory=Details)
    turn: Turn | None = None
    """None if this machine cannot run it, or no turns are needed."""
    warm_up: Callable[[], object] | None = None
    """Untimed work before the turns: compiles, allocates, fills caches. None: one turn."""
    tell: Callable[[Mapping[str, float]], Details] = lambda medians: {}
    """Gives the details after the last turn, from the median seconds of all contestants by name."""

    @property
    def seconds(self) -> float | None:
        """The median of its turns."""
        return median(self.turns) if self.turns else None

    @property
    def gflops(self) -> float | None:
        """1e9 operations per second."""
        return None if self.seconds is None or self.gflop is None else self.gflop / self.seconds


@dataclass(frozen=True)
class Contest:
    """Contestants that took turns with each other."""

    part: Part
    title: str
    contestants: Sequence[Contestant]
    reference: str = ARTICLE
    """Name of the contestant that ratios refer to."""
    products: Sequence[Contestant] = ()
    """Matrix products that took turns with the contestants; each name begins with the precision."""
    unit: str = "image"
    """Unit of work that times refer to."""

    @property
    def limit(self) -> Contestant | None:
        """The fastest of the matrix products: in bf16 if the machine supports it, else in fp32."""
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
        """Whether the reference did not reach its goal, so that ratios are lower bounds."""
        return self._referred.at_least is not None

    def ratio(self, who: Contestant) -> float | None:
        """Speed relative to the reference, as quotient of the median times; a lower bound if `is_bound`."""
        seconds = self._referred.seconds or self._referred.at_least
        return None if seconds is None or who.seconds is None else seconds / who.seconds

    def fraction(self, who: Contestant, precision: str | None = None) -> float | None:
        """Rate relative to the limit, or to the product in `precision`, which may be much slower than the limit."""
        named = [product for product in self.products if product.name.split()[0] == precision]
        product = self.limit if precision is None else named[0] if named else None
        return None if product is None or not product.gflops or who.gflops is None else who.gflops / product.gflops

    def to_dict(self) -> dict[str, Any]:
        """All results as plain values for JSON."""
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
    """The contestants with their times, after at least `least_turns` turns and at least `seconds`.

    The returned contestants hold no networks and images, so that this memory can be freed.
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
    """The first and third quartiles, interpolated linearly; a single value is both."""
    low, high = np.quantile(values, [0.25, 0.75]).tolist()
    return low, high


def timed(work: Callable[[], object], device: torch.device) -> Turn:
    """A turn that does `work` and, on a GPU, waits for its end."""

    def turn() -> float:
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    return turn


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work; does nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
