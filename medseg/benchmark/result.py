"""What was measured, as the table, the chart, benchmark.json and MLflow show it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medseg.benchmark.alternation import Times, find_quartiles


@dataclass(frozen=True)
class Row:
    """One contestant of a comparison."""

    name: str
    times: Times | None = None
    """Seconds an image (a matrix product, a training to its goal); None where there is nothing to time."""
    gflop: float | None = None
    """Work of that, 1e9 operations, a multiplication and an addition being two; None where it has no such measure."""
    at_least: float | None = None
    """Seconds that were spent in vain, where a goal was not reached."""
    note: str = ""
    """Why it was not measured, or what else is to be said."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Plain values beside the time: agreement of masks, shares of the time."""

    @property
    def gflops(self) -> float | None:
        """1e9 operations a second."""
        return None if self.times is None or self.gflop is None else self.gflop / self.times.median


@dataclass(frozen=True)
class Comparison:
    """Contestants who took turns."""

    part: str
    title: str
    rows: tuple[Row, ...]
    reference: str
    """The row that ratios are taken to."""
    limit: Row | None = None
    """The fastest of the matrix products that took turns with them: in bf16 where the machine has it, else in fp32."""
    unit: str = "image"
    """What a time is the time of."""
    products: tuple[Row, ...] = ()
    """All of these products, each named after its precision."""

    @property
    def limit_precision(self) -> str | None:
        """`bf16` or `fp32`."""
        return None if self.limit is None else self.limit.name.split()[0]

    @property
    def key(self) -> str:
        """Its name in files and metrics: letters, digits, `.`, `_` and `-`."""
        return slug(self.title)

    def find(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    def ratio(self, row: Row) -> float | None:
        """How often as fast as the reference: the quotient of the medians; at least that, where `is_bound`."""
        reference = self.find(self.reference)
        seconds = reference.at_least if reference.times is None else reference.times.median
        return None if seconds is None or row.times is None else seconds / row.times.median

    @property
    def is_bound(self) -> bool:
        """Whether the reference did not reach its goal, so that ratios are at least what they say."""
        return self.find(self.reference).at_least is not None

    def ratio_quartiles(self, row: Row) -> tuple[float, float] | None:
        """The quartiles of the quotients turn by turn."""
        reference = self.find(self.reference).times
        if reference is None or row.times is None:
            return None
        return find_quartiles(tuple(a / b for a, b in zip(reference.turns, row.times.turns, strict=True)))

    def fraction(self, row: Row, product: Row | None = None) -> float | None:
        """The share of the rate of that matrix product; none means the limit."""
        limit = product or self.limit
        return None if limit is None or not limit.gflops or row.gflops is None else row.gflops / limit.gflops

    def fraction_of_bf16(self, row: Row) -> float | None:
        """The share of the rate of the product in bf16, be it the limit or, without such hardware, far below it."""
        known = self.products or ((self.limit,) if self.limit else ())
        found = next((product for product in known if product.name.startswith("bf16")), None)
        return None if found is None else self.fraction(row, found)

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
            "rows": [self._describe(row) for row in self.rows],
        }

    def _describe(self, row: Row) -> dict[str, Any]:
        times = row.times
        measured = (
            {}
            if times is None
            else {
                "seconds": {"median": times.median, "quartiles": times.quartiles, "turns": times.turns},
                "rate": 1 / times.median,
                "gflop": row.gflop,
                "gflops": row.gflops,
                "fraction_of_limit": self.fraction(row),
                "fraction_of_bf16": self.fraction_of_bf16(row),
            }
        )
        if row in self.rows and times is not None:
            measured |= {
                "ratio": self.ratio(row),
                "ratio_is_a_lower_bound": self.is_bound,
                "ratio_quartiles": self.ratio_quartiles(row),
            }
        return {"name": row.name, **measured, "note": row.note, **row.details}


def find_limit(products: Sequence[Row]) -> Row:
    """The fastest of matrix products."""
    return max(products, key=lambda row: row.gflops or 0.0)


def slug(text: str) -> str:
    """`text` with a hyphen for whatever no file name or metric should hold."""
    return re.sub(r"[^\w.]+", "-", text).strip("-")
