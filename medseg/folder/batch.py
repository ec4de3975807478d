"""A folder of files on their way through reading, network and writing; results come out in the order of the walk."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.folder.examine import Examined, examine_file, fingerprint, identify_file
from medseg.folder.job import Job
from medseg.folder.journal import Journal
from medseg.folder.pool import Lost, Workers
from medseg.folder.steps import Steps
from medseg.folder.walk import Entry
from medseg.folder.write import Written, write_results
from medseg.inference.predictor import Predictor
from medseg.output.writers import name_outputs

_MAX_WAITING = 1000  # results that may wait for one that is slow
_LIMITS = ("timeout", "memory", "crashed")  # reasons that another limit may remove
_PASSING = ("changing", "unreadable", "killed")  # reasons that may be gone the next time

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
    fresh: bool = False


class FolderPrediction:
    """Reads in worker processes, predicts here, writes in worker processes, and keeps the journal.

    The network has the thread that calls `run` for itself. Another one takes what workers have made and gives them new
    tasks meanwhile, so that neither waits for the other.
    """

    def __init__(self, job: Job, predictor: Predictor, workers: Workers, journal: Journal) -> None:
        self.job = job
        self.predictor = predictor
        self.workers = workers
        self.journal = journal
        self._key, self._configuration = job.key, job.configuration
        self._limits = [workers.timeout_seconds, workers.memory_gib]
        self._window = 2 * workers.number + 3 * predictor.batch_size  # two steps of the network and one that fills
        self._slots: deque[_Slot] = deque()
        self._ready: list[_Slot] = []
        self._reading = self._predicting = self._writing = 0
        self.steps: Steps[_Slot] = Steps(predictor)
        self.num_predicted = 0
        self.complete = True
        """Whether the last run was not stopped before its end."""

    def run(self, entries: Iterable[Entry], stopped: Callable[[], bool]) -> Generator[tuple[Entry, Record, bool]]:
        """The record of each entry, in order, and whether it is new.

        Once `stopped`, those of files under way and of those that an earlier run has dealt with. To be closed if it is
        not iterated to its end. Raises `StorageError`.
        """
        self.num_predicted, self.complete = 0, True
        self.steps = Steps(self.predictor)
        with contextlib.closing(self.steps.run(lambda: self._feed(iter(entries), stopped), self.workers.wake)) as slots:
            for slot in slots:
                assert slot.record is not None
                yield slot.entry, slot.record, slot.fresh

    def is_known(self, entry: Entry) -> bool:
        """Whether a file has been dealt with and has not been touched since."""
        return entry.stat is None or self._find(entry)[1]

    def _feed(self, waiting: Iterator[Entry], stopped: Callable[[], bool]) -> Iterator[_Slot]:
        """The slots that are done, in order: the work of the other thread."""
        while not self.steps.abandoned:
            while self._has_room() and (entry := self._next(waiting, stopped)) is not None:
                self._take(entry)
            for slot, maps, seconds in self.steps.take():
                self._write(slot, maps, seconds)
            while self.steps.has_room and self._can_fill_step():
                self._start_step()
            if self._reading or self._writing or self.steps.num_steps:
                if (ended := self.workers.wait()) is not None:
                    self._advance(*ended)
            elif not self._slots:
                return
            while self._slots and self._slots[0].record is not None:
                yield self._slots.popleft()

    def _next(self, waiting: Iterator[Entry], stopped: Callable[[], bool]) -> Entry | None:
        for entry in waiting:
            if not stopped() or self.is_known(entry):
                return entry
            self.complete = False
        return None

    def _has_room(self) -> bool:
        under_way = self._reading + len(self._ready) + self._predicting + self._writing
        return under_way < self._window and len(self._slots) < _MAX_WAITING

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
        record = self.journal.find(self._name(entry))
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
            self.steps.seconds.decode += result.seconds
            slot.found = result
            if result.status == "known" and slot.earlier is not None:
                slot.record = {**slot.earlier, "stat": result.stat}
                self.journal.append(self._name(slot.entry), slot.record)
            elif result.status:
                self._close(slot, result.status, result.reason)
            else:
                self._ready.append(slot)
        elif isinstance(result, Written):
            self._writing -= 1
            self.steps.seconds.write += result.seconds
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

    def _can_fill_step(self) -> bool:
        return bool(self._ready) and (len(self._ready) >= self.predictor.batch_size or not self._reading)

    def _start_step(self) -> None:
        chosen = self._ready[: self.predictor.batch_size]
        del self._ready[: len(chosen)]
        self._predicting += len(chosen)
        images = [slot.found.image for slot in chosen if slot.found is not None and slot.found.image is not None]
        self.steps.start(chosen, images)

    def _write(self, slot: _Slot, maps: NDArray[np.float32], seconds: float) -> None:
        assert slot.found is not None
        slot.seconds, slot.found.image, slot.date = seconds, None, self._date(slot)
        self.workers.submit(slot, write_results, self.job, slot.found, maps, slot.date)
        self._predicting -= 1
        self._writing += 1

    def _date(self, slot: _Slot) -> datetime:
        """The date of the results: the first time these were made, so that making them again changes no byte."""
        earlier, found = slot.earlier, slot.found
        same = found is not None and self._is_same(earlier, found)
        return datetime.fromisoformat(earlier["date"]) if earlier and same and "date" in earlier else _now()

    def _is_same(self, earlier: Record | None, found: Examined) -> bool:
        """Whether an earlier record is of the same masks, whatever else was asked for."""
        if earlier is None or earlier["id"] != found.id:
            return False
        return bool(earlier["configuration"] == self._configuration)

    def _name(self, entry: Entry) -> bytes:
        """What the journal knows a file by: two input folders may hold the same names."""
        return self.job.root + b"\0" + entry.path

    def _close(self, slot: _Slot, status: str, reason: str, written: Written | None = None) -> None:
        """Record what became of a file, once all that was written for it is on the disk."""
        found = slot.found or Examined(identify_file(slot.entry.path))
        code = reason.partition(":")[0]
        outputs = {} if code in _PASSING else self._tidy(slot, found, written)
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
            "configuration": self._configuration,
        }
        if slot.date is not None:
            record["date"] = slot.date.isoformat()
        if code in _LIMITS:
            record["limits"] = self._limits
        if code in _PASSING:
            record["seconds"] = None
        else:
            self.journal.append(self._name(slot.entry), record)
        slot.record, slot.found, slot.fresh = record, None, True

    def _tidy(self, slot: _Slot, found: Examined, written: Written | None) -> dict[str, int]:
        """The outputs that stand for a file, once all others of its path are removed.

        What an earlier run made of the same picture in the same way stays, though its format is not asked for now. What
        goes is of another content or model, or was left by a process that died.
        """
        outputs = dict(written.outputs) if written else {}
        earlier = slot.earlier["outputs"] if slot.earlier is not None else {}
        if written and self._is_same(slot.earlier, found):
            outputs |= {name: size for name, size in earlier.items() if _size(self.job.folder / name) == size}
        names = name_outputs(self.job.decision.classes, found.id)
        for name in (names | earlier.keys()) - outputs.keys():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                (self.job.folder / name).unlink()
        if slot.date is not None and written is None:
            for path in (self.job.folder / name for name in names):
                for unfinished in path.parent.glob(f".{path.name}.*.tmp"):
                    unfinished.unlink()
        return outputs


def _now() -> datetime:
    """The present second, or SOURCE_DATE_EPOCH where builds shall be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return moment.astimezone().replace(microsecond=0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
