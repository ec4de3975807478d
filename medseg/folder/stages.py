"""The stages that turn the entries of a folder into outcomes, in the order of the entries.

    entries -> ReadStage -> Network -> WriteStage -> outcomes

The network runs in the thread that asks for the outcomes. The other stages share a second thread, which takes results
from the worker processes and gives them new tasks. So neither thread waits for the other.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import torch

from medseg.data.threads import map_ahead
from medseg.folder.examine import Examined, examine_file, identify_file
from medseg.folder.handover import Outcome, Pool, Predicted, Read, Seconds, Steps
from medseg.folder.job import Job
from medseg.folder.journal import Journal
from medseg.folder.lane import Lane
from medseg.folder.pool import Gone, Lost
from medseg.folder.record import File, Records
from medseg.folder.walk import Entry
from medseg.folder.write import Closer, Written, write_results
from medseg.inference.predictor import Predictor

_AHEAD = 2  # steps: one is computed while the next one is ready
_MAX_WAITING = 1000  # outcomes that may wait for a slow one before them


Handed = Outcome | list[Read]
"""An item from the second thread to the first: an outcome, or a step for the network."""


class ReadStage:
    """The files that are being read or are waiting for the network."""

    def __init__(self, job: Job, workers: Pool, records: Records, seconds: Seconds) -> None:
        self._job, self._workers, self._records, self._seconds = job, workers, records, seconds
        self._looking: dict[File, tuple[str | None, float]] = {}  # why an attempt was lost; seconds spent before it
        self._ready: deque[Read] = deque()

    def __len__(self) -> int:
        return len(self._looking) + len(self._ready)

    def begin(self, file: File, lost: str | None = None) -> None:
        """Let a worker read a file. If a first attempt was `lost`, it only identifies the file."""
        self._looking[file] = lost, 0.0
        known = file.earlier.id if file.earlier is not None and file.stands and lost is None else None
        self._workers.submit((self, file), examine_file, self._job, file.entry.path, known, lost)

    def look_closer(self, file: File, first: Examined) -> None:
        """Let a worker read a file again, for the part `frame` of the image that was found at the first look."""
        self._looking[file] = None, first.seconds
        self._workers.submit((self, file), examine_file, self._job, file.entry.path, first.id, None, first.frame)

    def end(self, file: File, found: Examined | Lost) -> Outcome | None:
        """Take the findings of a worker. Returns the outcome, or None if the file is not finished."""
        lost, spent = self._looking.pop(file)
        if isinstance(found, Lost):
            if lost is None:
                self.begin(file, found.reason)
                return None
            found = Examined(identify_file(file.entry.path), "rejected", found.reason)
        self._seconds.decode += found.seconds
        if found.image is not None:
            self._ready.append(Read(file, replace(found, image=None, seconds=found.seconds + spent), found.image))
            return None
        if found.status == "known" and file.earlier is not None:
            return Outcome(file.entry, self._records.renew(file, file.earlier, found), fresh=False)
        return Outcome(file.entry, self._records.keep(file, found), fresh=True)

    def forget(self, file: File) -> None:
        """Drop a file whose task is gone."""
        del self._looking[file]

    def take_step(self, size: int) -> list[Read]:
        """The next `size` files for the network; none if there are fewer and more are being read, else all of them."""
        if len(self._ready) < size and self._looking:
            return []
        return [self._ready.popleft() for _ in range(min(size, len(self._ready)))]


class Network:
    """The network, with a measurement of its time."""

    def __init__(self, predictor: Predictor, seconds: Seconds) -> None:
        self._predictor, self._seconds = predictor, seconds
        self._began, self._ended = time.perf_counter(), 0.0

    def predict(self, step: Sequence[Read]) -> list[Predicted]:
        """The files of a step with their probabilities."""
        start = time.perf_counter()
        if self._ended:
            self._seconds.waiting += start - self._ended
        else:
            self._seconds.start = start - self._began
        images = torch.stack([torch.from_numpy(read.image) for read in step])
        maps = [each.copy() for each in self._predictor.predict(images).numpy()]
        self._ended = time.perf_counter()
        self._seconds.predict += self._ended - start
        share = (self._ended - start) / len(step)
        found = [replace(read.found, seconds=read.found.seconds + share) for read in step]
        return [Predicted(read.file, *made) for read, *made in zip(step, found, maps, strict=True)]


class WriteStage:
    """The files whose results are being written by the workers."""

    def __init__(self, job: Job, workers: Pool, records: Records, seconds: Seconds) -> None:
        self._job, self._workers, self._records, self._seconds = job, workers, records, seconds
        self._begun: dict[File, tuple[Examined, datetime]] = {}

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self, item: Predicted) -> None:
        """Let a worker make, measure and write the masks of a file."""
        date = self._records.choose_date(item.file, item.found)
        self._begun[item.file] = item.found, date
        self._workers.submit((self, item.file), write_results, self._job, item.found, item.probabilities, date)

    def end(self, file: File, written: Written | Lost) -> Outcome:
        """Take the result of a worker, and return the outcome."""
        found, date = self._begun.pop(file)
        if isinstance(written, Lost):
            lost = replace(found, status="rejected", reason=written.reason)
            return Outcome(file.entry, self._records.keep(file, lost, date=date), fresh=True)
        self._seconds.write += written.seconds
        self._seconds.predict += written.predicting
        done = replace(
            found,
            status="done",
            warnings=(*found.warnings, *written.warnings),
            facts={**found.facts, **written.facts},
            seconds=found.seconds + written.predicting + written.seconds,
        )
        return Outcome(file.entry, self._records.keep(file, done, written.outputs, date, written.digests), fresh=True)

    def forget(self, file: File) -> None:
        """Drop a file whose task is gone."""
        del self._begun[file]

    def hand_back(self, file: File, closer: Closer) -> Examined:
        """Drop a file of which a part is to be predicted. Returns the findings, with this part as their `frame`."""
        found, _ = self._begun.pop(file)
        self._seconds.predict += closer.predicting
        return replace(found, frame=closer.frame, seconds=found.seconds + closer.predicting)


class FolderPrediction:
    """Predicts the files of a folder. Worker processes read and write, this process predicts and keeps the journal."""

    def __init__(
        self,
        job: Job,
        predictor: Predictor,
        workers: Pool,
        journal: Journal,
        network: Callable[[Predictor, Seconds], Steps] = Network,
    ) -> None:
        self.job, self.journal = job, journal
        self._predictor, self._workers, self._network = predictor, workers, network
        self._records = Records(job, journal, (workers.timeout_seconds, workers.memory_gib))
        self.seconds = Seconds()
        self.complete = True
        """Whether the last run went to its end without being stopped."""

    def is_known(self, entry: Entry) -> bool:
        """Whether a file is finished and has not changed since. What is wrong with an archive may yet change."""
        may_grow = entry.status and entry.fingerprint is not None
        return not may_grow and self._records.find(entry).settled is not None

    def run(self, entries: Iterable[Entry], stopped: Callable[[], bool]) -> Generator[Outcome]:
        """The outcome of each entry, in order.

        After `stopped`, only outcomes of files already started or finished in an earlier run follow. The caller must
        close the generator unless it is iterated to its end. Raises `StorageError`.
        """
        self.seconds, self.complete = Seconds(), True
        files, network = self._admit(entries, stopped), self._network(self._predictor, self.seconds)
        predicted: deque[list[Predicted]] = deque()
        with Lane[Handed](lambda lane: self._serve(files, lane, predicted), self._workers.wake) as lane:
            for item in lane:
                if isinstance(item, Outcome):
                    yield item
                else:
                    predicted.append(network.predict(item))
                    self._workers.wake()

    def _admit(self, entries: Iterable[Entry], stopped: Callable[[], bool]) -> Iterator[File]:
        for file in map_ahead(self._records.find, entries, self.job.sink.threads):
            if not stopped() or file.settled is not None:
                yield file
            else:
                self.complete = False

    def _serve(self, files: Iterator[File], lane: Lane[Handed], predicted: deque[list[Predicted]]) -> None:
        """Run all stages except the network: send it steps, take its results from `predicted`, and send outcomes."""
        shared = self.job, self._workers, self._records, self.seconds
        reading, writing = ReadStage(*shared), WriteStage(*shared)
        steps: deque[list[Read]] = deque()  # steps at the network
        order: deque[File] = deque()  # files whose outcome has not been sent
        outcomes: dict[File, Outcome] = {}
        while not lane.abandoned:
            window = 2 * self._workers.number + 3 * self._predictor.batch_size  # two steps are ready, a third one fills
            while len(reading) + sum(map(len, steps)) + len(writing) < window and len(order) < _MAX_WAITING:
                if (file := next(files, None)) is None:
                    break
                order.append(file)
                if (record := file.settled) is not None:
                    outcomes[file] = Outcome(file.entry, record, fresh=False)
                else:
                    reading.begin(file)
            while predicted:
                steps.popleft()
                for item in predicted.popleft():
                    writing.begin(item)
            while len(steps) < _AHEAD and (step := reading.take_step(self._predictor.batch_size)):
                steps.append(step)
                lane.put(step)
            if reading or steps or writing:
                if (ended := self._workers.wait()) is not None:
                    (stage, file), result = ended
                    if isinstance(result, Gone):
                        stage.forget(file)
                        reading.begin(file)
                    elif isinstance(result, Closer):
                        reading.look_closer(file, writing.hand_back(file, result))
                    elif (outcome := stage.end(file, result)) is not None:
                        outcomes[file] = outcome
            elif not order:
                return
            while order and order[0] in outcomes:
                lane.put(outcomes.pop(order.popleft()))
