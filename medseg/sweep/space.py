"""The notation of a search space: `0.1..0.6`, `log 1e-4..1e-2`, `2..6`, `[16, 24, 32]`."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_RANGE = re.compile(rf"(log\s+)?{_NUMBER}\s*\.\.\s*{_NUMBER}")
_FORMS = "a range such as 0.1..0.6, log 1e-4..1e-2 or 2..6, or a list of choices such as [16, 24, 32]"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included. They are whole if both ends are written without a point."""

    low: int | float
    high: int | float
    is_log: bool = False
    """Whether numbers are drawn evenly on a logarithmic scale."""

    @property
    def is_whole(self) -> bool:
        """Whether the range has whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def samples(self) -> list[Any]:
        """Values that stand for all others: the two ends and a number between them, whole only in a whole range."""
        if self.is_whole:
            return sorted({self.low, (self.low + self.high) // 2, self.high})
        share = (math.sqrt(5) - 1) / 2
        between = (
            self.low ** (1 - share) * self.high**share if self.is_log else self.low + share * (self.high - self.low)
        )
        return [self.low, between, self.high]

    def holds(self, value: Any) -> bool:
        """Whether `value` is a number of this range."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high and (not self.is_whole or float(value).is_integer())

    def encode(self, value: float) -> int | float:
        """The number, as Optuna keeps it."""
        return int(value) if self.is_whole else value


@dataclass(frozen=True)
class Choices:
    """A list of values of any kind. Optuna keeps them as JSON text."""

    texts: tuple[str, ...]

    @property
    def samples(self) -> list[Any]:
        """All values."""
        return [json.loads(text) for text in self.texts]

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of the choices."""
        return value in self.samples

    def encode(self, value: Any) -> str:
        """The text of a choice."""
        return self.texts[self.samples.index(value)]


Values = Range | Choices
"""The values that a setting may have."""


def write_choice(value: Any) -> str:
    """A value as JSON text."""
    return json.dumps(value, ensure_ascii=False)


def parse_space(space: Mapping[str, Any]) -> dict[str, Values]:
    """The values of each setting to search. Raises `ValueError`."""
    return {key: parse_values(given) for key, given in space.items()}


def parse_values(given: Any) -> Values:
    """The values that a person has written for one setting. Raises `ValueError` with the reason."""
    if isinstance(given, list | tuple):
        texts = tuple(write_choice(value) for value in given)
        if len(texts) < 2:
            raise ValueError(f"{len(texts)} choices, nothing to search. Write at least two, or give the value itself")
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(f"the choice {twice} is given twice. Remove one")
        return Choices(texts)
    match = _RANGE.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None:
        raise ValueError(f"should be {_FORMS}")
    log, *ends = match.groups()
    whole = all(re.fullmatch(r"[-+]?\d+", end) for end in ends)
    low, high = (int(end) if whole else float(end) for end in ends)
    if not math.isfinite(low) or not math.isfinite(high):
        raise ValueError("the ends should be finite numbers")
    if low == high:
        raise ValueError("the ends are equal, nothing to search. Give the value itself")
    if low > high:
        raise ValueError(f"the first end is the larger one. Write {ends[1]}..{ends[0]}")
    if log and low <= 0:
        raise ValueError("a logarithmic range should begin above 0. Write for example log 1e-4..1e-2")
    return Range(low, high, bool(log))
