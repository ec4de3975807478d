"""The receipt of a folder's prediction, folded up while its files pass."""

from collections.abc import Mapping
from typing import Any

from medseg.config import flatten
from medseg.folder.job import Job
from medseg.folder.record import Record
from medseg.receipt.digests import Fold, digest_values
from medseg.receipt.receipt import Receipt, build_receipt

_FREE = (
    *("model", "input.dir", "input.timeout_seconds", "input.memory_gib", "input.watch", "input.poll_seconds"),
    *("predict.workers", "predict.batch_size", "predict.device", "predict.backend", "predict.precision"),
    *("predict.channels_last", "output.dir", "tracking."),
)
"""Settings of places, of limits, and of the hardware, which the receipt names itself."""


class Proof:
    """The digests of the input files that were met, and of the results that belong to them."""

    def __init__(self, job: Job) -> None:
        self._job, self._inputs, self._results = job, Fold(), Fold()

    def add(self, record: Record) -> None:
        """Add one input file with its results. Results of earlier versions, without a digest, are read again."""
        self._inputs.add(record.id)
        known = record.digests or {}
        for name in record.outputs:
            self._results.add(name_result(name, known.get(name) or self._job.sink.digest(name)))

    def build(self, settings: Mapping[str, Any], weights: str) -> Receipt:
        """The receipt of all files that were added."""
        return build_receipt(
            "prediction",
            configuration=digest_prediction(settings),
            backend=self._job.backend,
            data=self._inputs.digest(),
            weights=weights,
            results=self._results.digest(),
        )


def name_result(name: str, digest: str) -> str:
    """What a result adds to the digest of all results: its path below the output folder, and its content."""
    return f"{name} {digest}"


def digest_prediction(settings: Mapping[str, Any]) -> str:
    """The digest of the settings that decide the results. `settings` are those of the command, by section."""
    return digest_values(flatten(settings), _FREE)
