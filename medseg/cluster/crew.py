"""The worker processes of a node, as an actor. This module is light: it is imported in a process on each node."""

import pickle
import threading
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any

from medseg.archive.unpack import private_folder
from medseg.errors import MedsegError
from medseg.folder.pool import Lost, Workers, start_server
from medseg.inference.config import InputConfig

_Call = tuple["Future[Any]", bytes, tuple[Any, ...]] | None  # None ends the thread


class Crew:
    """Worker processes with the limits of `medseg.folder.pool`. Its method `run` may be called in many threads."""

    def __init__(self, number: int, limits: InputConfig, formats: Collection[str]) -> None:
        self._number, self._limits, self._formats = number, limits, formats
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._running: set[Future[Any]] = set()
        self._ending = ExitStack()

    def start(self) -> None:
        """Start the processes. Raises `StorageError` and `WorkerError`."""
        start_server(self._formats)
        folder = self._ending.enter_context(private_folder())
        self._workers = self._ending.enter_context(Workers(self._number, self._limits, folder))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def run(self, payload: bytes, parts: int, *values: Any) -> Any:
        """Run a pickled function with its arguments and these `values` in one of the processes.

        The function returns a tuple of `parts`, the first of them pickled; a `Lost` takes its place. Raises the
        `MedsegError` of the function.
        """
        future: Future[Any] = Future()
        self._calls.put((future, payload, values))
        self._workers.wake()
        result = future.result()
        if isinstance(result, MedsegError):
            raise result
        if isinstance(result, Lost):
            result = (pickle.dumps(result), *[None] * (parts - 1))
        return result if parts > 1 else result[0]

    def close(self) -> None:
        """End the processes and remove their folder."""
        self._calls.put(None)
        self._workers.wake()
        self._thread.join()
        self._ending.close()

    def _serve(self) -> None:
        """Give tasks to the processes and take their results, in a thread of its own."""
        try:
            while True:
                while not self._calls.empty():
                    if (called := self._calls.get()) is None:
                        return
                    future, payload, values = called
                    self._running.add(future)
                    self._workers.submit(future, call, payload, *values)
                if (ended := self._workers.wait()) is not None:
                    future, result = ended
                    self._running.discard(future)
                    future.set_result(result)
        except Exception as error:  # the processes cannot be started
            for future in self._running:
                future.set_exception(error)
            while (called := self._calls.get()) is not None:
                called[0].set_exception(error)


def call(payload: bytes, *values: Any) -> Any:
    """Call a pickled function. An error that a user can cause is its result, because others would end the pool."""
    try:
        function, arguments = pickle.loads(payload)
        return function(*arguments, *values)
    except MedsegError as error:
        return error
