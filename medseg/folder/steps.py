"""The network and what feeds it, each in a thread of its own, so that neither waits while the other works."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from medseg.inference.predictor import Predictor

T = TypeVar("T")
Maps = NDArray[np.float32]

_AHEAD = 2  # steps: one that is computed and one that is ready when it ends
_MAX_WAITING = 1000  # results that may wait for a step to end


@dataclass
class Seconds:
    """Where the time of a run went."""

    start: float = 0.0
    """Until the first picture was ready for the network."""
    predict: float = 0.0
    """The network at work."""
    waiting: float = 0.0
    """The network without a picture between two steps."""
    decode: float = 0.0
    """Reading, summed over processes."""
    write: float = 0.0
    """Writing, summed over processes."""


@dataclass
class _Step(Generic[T]):
    tags: Sequence[T]
    images: Sequence[Maps]
    maps: list[Maps] = field(default_factory=list)
    seconds: float = 0.0
    """Of one picture."""


class Steps(Generic[T]):
    """Steps of the network, which the thread that iterates over `run` computes.

    All else is for the other thread, which `run` starts.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.seconds = Seconds()
        self.abandoned = False
        """Whether nobody iterates over `run` any more."""
        self._predictor = predictor
        self._events: Queue[_Step[T] | tuple[T] | None] = Queue(_MAX_WAITING)
        self._predicted: deque[_Step[T]] = deque()
        self._ended = 0.0
        self._num_steps = 0

    @property
    def has_room(self) -> bool:
        """Whether another step may be started."""
        return self._num_steps < _AHEAD

    @property
    def num_steps(self) -> int:
        """Steps that were started and whose results have not been taken."""
        return self._num_steps

    def start(self, tags: Sequence[T], images: Sequence[Maps]) -> None:
        """Have `images`, each `(channel, rows, columns)`, predicted."""
        self._num_steps += 1
        self._events.put(_Step(tags, images))

    def take(self) -> Iterator[tuple[T, Maps, float]]:
        """Tag, probabilities `(class, rows, columns)` and seconds of each picture of the steps that have ended."""
        while self._predicted:
            step = self._predicted.popleft()
            self._num_steps -= 1
            for tag, maps in zip(step.tags, step.maps, strict=True):
                yield tag, maps, step.seconds

    def run(self, feed: Callable[[], Iterator[T]], wake: Callable[[], None]) -> Generator[T]:
        """What `feed` yields in the other thread; `wake` tells it that a step has ended, or that `run` is `abandoned`.

        Raises what `feed` and the network raise. To be closed if it is not iterated to its end.
        """
        began = time.perf_counter()
        with ThreadPoolExecutor(1) as threads:
            feeding = threads.submit(self._feed, feed)
            feeding.add_done_callback(lambda _: self._events.put(None))
            event: _Step[T] | tuple[T] | None = ()  # type: ignore[assignment]
            try:
                while (event := self._events.get()) is not None:
                    if isinstance(event, tuple):
                        yield event[0]
                    else:
                        self._compute(event, began)
                        wake()
                feeding.result()
            finally:
                self.abandoned = True
                while event is not None:  # the last one, which comes once nothing else can
                    wake()
                    with suppress(Empty):
                        event = self._events.get(timeout=0.01)

    def _feed(self, feed: Callable[[], Iterator[T]]) -> None:
        for result in feed():
            self._events.put((result,))

    def _compute(self, step: _Step[T], began: float) -> None:
        start = time.perf_counter()
        if self._ended:
            self.seconds.waiting += start - self._ended
        else:
            self.seconds.start = start - began
        images = torch.stack([torch.from_numpy(image) for image in step.images])
        step.maps = [maps.copy() for maps in self._predictor.predict(images).numpy()]
        self._ended = time.perf_counter()
        self.seconds.predict += self._ended - start
        step.seconds = (self._ended - start) / len(step.tags)
        self._predicted.append(step)
