"""A folder of files on their way through reading, network and writing; results come out in the order of the walk."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from medseg.inference.examine import Examined, examine_file, fingerprint, identify_file
from medseg.inference.job import Job, name_outputs
from medseg.inference.journal import Journal
from medseg.inference.pool import Lost, Workers
from medseg.inference.predictor import Predictor
from medseg.inference.walk import Entry
from medseg.inference.write import Written, write_results

_MAX_WAITING = 1000  # results that may wait for one that is slow
_LIMITS = ("timeout", "memory", "crashed")  # reasons that another limit may remove

Record = dict[str, Any]
"""What the journal keeps of a file: `id`, `status`, `reason`, `warnings`, `facts`, `seconds`, digests, `outputs`."""


@dataclass(eq=False)
class _Slot:
    """One entry of the walk, and what became of it once that is known."""

    entry: Entry
    earlier: Record | None = None
    found: Examined | None = None
    record: Record | None = None
    seconds: float = 0.0
    date: datetime | None = None
    lost: bool = False


class FolderPrediction:
    """Reads in worker processes, predicts here, writes in worker processes, and keeps the journal."""

    def __init__(self, job: Job, predictor: Predictor, workers: Workers, journal: Journal) -> None:
        self.job = job
        self.predictor = predictor
        self.workers = workers
        self.journal = journal
        self._key = job.key
        self._limits = [workers.timeout_seconds, workers.memory_gib]
        self._window = 2 * workers.number + 2 * predictor.batch_size
        self._slots: deque[_Slot] = deque()
        self._ready: list[_Slot] = []
        self._reading = self._writing = 0
        self.num_predicted = 0

    def run(self, entries: Iterable[Entry], stopped: Callable[[], bool]) -> Iterator[tuple[Entry, Record]]:
        """The record of each entry, in order; once `stopped`, of those under way. Raises `StorageError`."""
        self.num_predicted = 0
        waiting = iter(entries)
        while True:
            while self._has_room() and not stopped():
                entry = next(waiting, None)
                if entry is None:
                    break
                self._take(entry)
            if self._ready and (len(self._ready) >= self.predictor.batch_size or not self._reading):
                self._predict()
            elif self._reading or self._writing:
                self._advance(*self.workers.wait())
            elif not self._slots:
                return
            while self._slots and (record := self._slots[0].record) is not None:
                yield self._slots.popleft().entry, record

    def is_known(self, entry: Entry) -> bool:
        """Whether a file has been dealt with and has not been touched since."""
        return entry.stat is None or self._find(entry)[1]

    def _has_room(self) -> bool:
        return self._reading + len(self._ready) + self._writing < self._window and len(self._slots) < _MAX_WAITING

    def _take(self, entry: Entry) -> None:
        slot = _Slot(entry)
        self._slots.append(slot)
        if entry.stat is None:
            slot.record = {"id": identify_file(entry.path), "status": entry.status, "reason": entry.reason}
            return
        slot.earlier, untouched = self._find(entry)
        if untouched:
            slot.record = slot.earlier
            return
        known = slot.earlier["id"] if slot.earlier and self._stands(slot.earlier) else None
        self.workers.submit(slot, examine_file, self.job, entry.path, known)
        self._reading += 1

    def _find(self, entry: Entry) -> tuple[Record | None, bool]:
        """The last record of a path, and whether it still holds: same file, same settings, outputs in place."""
        record = self.journal.find(entry.path)
        if record is None or entry.stat is None or not self._stands(record):
            return record, False
        return record, tuple(record["stat"]) == fingerprint(entry.stat)

    def _stands(self, record: Record) -> bool:
        if record["key"] != self._key or record.get("limits", self._limits) != self._limits:
            return False
        return all(_size(self.job.folder / name) == size for name, size in record["outputs"].items())

    def _advance(self, slot: _Slot, result: Examined | Written | Lost) -> None:
        """Take what a worker made of a file to its next station."""
        if isinstance(result, Examined):
            self._reading -= 1
            slot.found = result
            if result.status == "known" and slot.earlier is not None:
                slot.record = {**slot.earlier, "stat": result.stat}
                self.journal.append(slot.entry.path, slot.record)
            elif result.status:
                self._close(slot, result.status, result.reason)
            else:
                self._ready.append(slot)
        elif isinstance(result, Written):
            self._writing -= 1
            self._close(slot, "done", "", result)
            self.num_predicted += 1
        elif slot.found is not None:
            self._writing -= 1
            self._close(slot, "rejected", result.reason)
        elif not slot.lost:
            slot.lost = True
            self.workers.submit(slot, examine_file, self.job, slot.entry.path, None, result.reason)
        else:
            self._reading -= 1
            self._close(slot, "rejected", result.reason)

    def _predict(self) -> None:
        chosen = self._ready[: self.predictor.batch_size]
        del self._ready[: len(chosen)]
        started = time.perf_counter()
        images = [slot.found.image for slot in chosen if slot.found is not None and slot.found.image is not None]
        predicted = self.predictor.predict(torch.stack([torch.from_numpy(image) for image in images])).numpy()
        seconds = (time.perf_counter() - started) / len(chosen)
        for slot, maps in zip(chosen, predicted, strict=True):
            assert slot.found is not None
            slot.seconds, slot.found.image, slot.date = seconds, None, self._date(slot)
            self.workers.submit(slot, write_results, self.job, slot.found, maps.copy(), slot.date)
            self._writing += 1

    def _date(self, slot: _Slot) -> datetime:
        """The date of the results: the first time these were made, so that making them again changes no byte."""
        earlier, found = slot.earlier, slot.found
        same = earlier and found and earlier["key"] == self._key and earlier["id"] == found.id and "date" in earlier
        return datetime.fromisoformat(earlier["date"]) if earlier and same else _now()

    def _close(self, slot: _Slot, status: str, reason: str, written: Written | None = None) -> None:
        """Record what became of a file, once all that was written for it is on the disk."""
        found = slot.found or Examined(identify_file(slot.entry.path))
        outputs = written.outputs if written else {}
        self._remove_stale(slot, found, outputs)
        record: Record = {
            "id": found.id,
            "status": status,
            "reason": reason,
            "warnings": [*found.warnings, *(written.warnings if written else ())],
            "facts": {**found.facts, **(written.facts if written else {})},
            "seconds": round(found.seconds + slot.seconds + (written.seconds if written else 0), 3),
            "pixels": found.pixels,
            "instance": found.instance,
            "outputs": outputs,
            "stat": found.stat,
            "key": self._key,
        }
        code = reason.partition(":")[0]
        if slot.date is not None:
            record["date"] = slot.date.isoformat()
        if code in _LIMITS:
            record["limits"] = self._limits
        if code in ("changing", "unreadable"):  # may be better the next time
            record["seconds"] = None
        else:
            self.journal.append(slot.entry.path, record)
        slot.record, slot.found = record, None

    def _remove_stale(self, slot: _Slot, found: Examined, outputs: dict[str, int]) -> None:
        """Remove what an earlier run, or a process that died, left under this file's id and this one did not write."""
        names = set(name_outputs(("png", "nifti", "seg", "overlay"), self.job.decision.classes, found.id).values())
        if slot.earlier is not None and slot.earlier["id"] == found.id:
            names |= slot.earlier["outputs"].keys()
        for name in names - outputs.keys():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                (self.job.folder / name).unlink()


def _now() -> datetime:
    """The present second, or SOURCE_DATE_EPOCH where builds shall be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.astimezone().replace(microsecond=0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
