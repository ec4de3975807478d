"""The receipt of a result: digests of data, split, settings and weights; code and environment.

Whoever has the same data, code and environment can check the digests, and repeat the result. A receipt names no file
and no patient. It does not say who wrote it: it is not signed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from typing import Any, Literal, Self

from medseg.receipt.digests import digest_source
from medseg.receipt.environment import Environment, describe_environment
from medseg.tracking.provenance import describe_commit

RECEIPT = "receipt"
"""Key of the receipt in the file that sums up a result."""

Kind = Literal["training", "evaluation", "cross-validation", "prediction", "export"]

_FORMAT = 1
_GIT = "mlflow.source.git"


@dataclass(frozen=True)
class Code:
    """The code that ran."""

    version: str
    """Version of medseg."""
    commit: str | None
    """The git commit; None outside a checkout."""
    dirty: bool | None
    """Whether files differed from that commit; None if unknown."""
    source: str
    """Digest of the Python files of medseg."""

    def compare(self, now: "Code") -> list[str]:
        """The differences between this code and `now`, each as a phrase. A commit with the same files is the same."""
        if self.source == now.source:
            return []
        then = [f"{self.version}{f' at commit {self.commit[:12]}' if self.commit else ''}"]
        then.append(f"{now.version}{f' at commit {now.commit[:12]}' if now.commit else ''}")
        return [f"the files of medseg are not the same (medseg {then[0]} then, medseg {then[1]} now)"]


@dataclass(frozen=True)
class Receipt:
    """Digests of everything that decided a result. A digest has 64 hex digits; None if there is no such part."""

    kind: Kind
    code: Code
    environment: Environment
    configuration: str
    """The settings that decide the result; paths and settings of speed are not among them."""
    data: str | None = None
    """All cases or input files, folded into one digest."""
    split: str | None = None
    """Which case is in the training, validation and test set, folded into one digest."""
    weights: str | None = None
    """The weights that were made or used."""
    origin: str | None = None
    """The model that a training started from: 16 hex digits of its file. None for random weights."""
    results: str | None = None
    """The files that hold the result, besides the weights: masks, or the table of scores."""
    shard: str | None = None
    """The part of a prediction that this is: `i/n`. None if it is the whole."""

    def to_json(self) -> dict[str, Any]:
        """The receipt as plain values."""
        values = {"format": _FORMAT, **asdict(self)}
        values["environment"]["instructions"] = list(self.environment.instructions)
        if self.shard is None:
            del values["shard"]
        return values

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The receipt in plain values. Raises `KeyError`, `TypeError` or `ValueError` if it is not a receipt."""
        if given["format"] != _FORMAT:
            raise ValueError(f"format {given['format']}")
        values: dict[str, Any] = {each.name: given.get(each.name) for each in fields(cls)}
        values["code"] = Code(**{each.name: given["code"][each.name] for each in fields(Code)})
        values["environment"] = Environment.from_json(given["environment"])
        return cls(**values)


@cache
def describe_code() -> Code:
    """The code of this process."""
    tags = describe_commit()
    dirty = tags.get(f"{_GIT}.dirty")
    commit = tags.get(f"{_GIT}.commit")
    return Code(version("medseg"), commit, None if dirty is None else dirty == "true", digest_source())


def build_receipt(
    kind: Kind,
    *,
    configuration: str,
    backend: str = "",
    data: str | None = None,
    split: str | None = None,
    weights: str | None = None,
    origin: str | None = None,
    results: str | None = None,
    shard: str | None = None,
) -> Receipt:
    """The receipt of a result that this process has made, from digests of `medseg.receipt.digests`.

    `backend` is the name of the backend that ran the network, such as `torch/cpu/bf16`; empty if none ran.
    """
    made = describe_code(), describe_environment(backend)
    return Receipt(kind, *made, configuration, data, split, weights, origin, results, shard)
