"""The receipt of a folder's prediction, folded up while its files pass."""

from collections.abc import Mapping
from typing import Any

from medseg.config import flatten
from medseg.folder.job import Job
from medseg.folder.record import Record
from medseg.folder.sink import Sink
from medseg.receipt.digests import Fold, digest_values
from medseg.receipt.receipt import Receipt, build_receipt

_FREE = (
    *("model", "input.dir", "input.timeout_seconds", "input.memory_gib", "input.watch", "input.poll_seconds"),
    *("predict.workers", "predict.batch_size", "predict.device", "predict.backend", "predict.precision"),
    *("predict.channels_last", "predict.shard", "output.dir", "tracking.", "folder."),
)
"""Settings of places, of limits, and of the hardware and the shard, which the receipt names itself."""


class Folds:
    """The digests of the input files that were met, and of the results that belong to them."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self.inputs, self.results = sink, Fold(), Fold()

    def add(self, record: Record) -> None:
        """Add one input file with its results. Results of earlier versions, without a digest, are read again."""
        self.inputs.add(record.id)
        known = record.digests or {}
        for name in record.outputs:
            self.results.add(name_result(name, known.get(name) or self._sink.digest(name)))

    def join(self, other: "Folds") -> None:
        """Add all files of `other`."""
        self.inputs.join(other.inputs)
        self.results.join(other.results)


class Proof(Folds):
    """These digests, of a job."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.sink)
        self._job = job

    def build(self, settings: Mapping[str, Any], weights: str) -> Receipt:
        """The receipt of all files that were added."""
        return build_receipt(
            "prediction",
            configuration=digest_prediction(settings),
            backend=self._job.backend,
            data=self.inputs.digest(),
            weights=weights,
            results=self.results.digest(),
            shard=None if self._job.source.shard is None else str(self._job.source.shard),
        )


def name_result(name: str, digest: str) -> str:
    """What a result adds to the digest of all results: its path below the output folder, and its content."""
    return f"{name} {digest}"


def digest_prediction(settings: Mapping[str, Any]) -> str:
    """The digest of the settings that decide the results. `settings` are those of the command, by section."""
    return digest_values(list_deciding(settings))


def list_deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the results, by dotted key. `settings` are those of the command, by section."""
    return {name: value for name, value in flatten(settings).items() if not name.startswith(_FREE)}
