"""Times that can be compared: who is measured takes turns, A B C A B C, so that all meet the same disturbances."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch

Turn = Callable[[], float]
"""Does its work once and returns the seconds that count."""


@dataclass(frozen=True)
class Times:
    """Seconds of one contestant, one figure a turn."""

    turns: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.turns)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third."""
        return find_quartiles(self.turns)


def alternate(
    contestants: Mapping[str, Turn], least_turns: int, seconds: float, *, warm: bool = True
) -> dict[str, Times]:
    """The times of each, by name: at least `least_turns`, until `seconds` are over.

    A first turn does not count, where `warm`: it compiles, allocates, fills caches.
    """
    for turn in contestants.values() if warm else ():
        turn()
    found: dict[str, list[float]] = {name: [] for name in contestants}
    start, turns = time.perf_counter(), 0
    while turns < least_turns or time.perf_counter() - start < seconds:
        for name, turn in contestants.items():
            found[name].append(turn())
        turns += 1
    return {name: Times(tuple(values)) for name, values in found.items()}


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


def find_quartiles(values: tuple[float, ...]) -> tuple[float, float]:
    """The first and the third quartile, linear between values; a single value is both."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high
