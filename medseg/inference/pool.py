"""Processes that may die, hang or eat memory at the cost of one file."""

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from pebble import ProcessExpired, ProcessPool

from medseg.inference.config import InputConfig

_ATTEMPTS = 2  # a process that dies is given a second chance: it may have been killed for another's sake
_PR_SET_PDEATHSIG = 1
_context = multiprocessing.get_context("forkserver")


def start_server(formats: Collection[str]) -> None:
    """Start the process that workers are forked from. It imports what they need while this one goes on."""
    from multiprocessing import forkserver

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin would take the workers' cores
    preload = ["medseg.inference.write", *(["medseg.output.dicom_seg"] if "seg" in formats else [])]
    _context.set_forkserver_preload(preload)
    forkserver.ensure_running()


@dataclass(frozen=True)
class Lost:
    """A task that ended its process, took too long or needed too much memory; `reason` is `code: text`."""

    reason: str


@dataclass(eq=False)
class _Task:
    tag: object
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    attempts: int = 0


class Workers:
    """A pool of processes with limits on time and memory of a task. A context manager."""

    def __init__(self, number: int | None, limits: InputConfig, folder: Path) -> None:
        """`number` processes, None for one a core, that keep temporary files in `folder`."""
        self.number = number or len(os.sched_getaffinity(0))
        self.timeout_seconds = limits.timeout_seconds
        self.memory_gib = limits.memory_gib
        self._scratch = folder / ".scratch"
        _remove(self._scratch)  # what a killed process left
        self._scratch.mkdir()
        self._done: SimpleQueue[tuple[_Task, Future[Any]]] = SimpleQueue()
        self._pool = self._start()

    def submit(self, tag: object, function: Callable[..., Any], *arguments: Any) -> None:
        """Run `function(*arguments)` in one of the processes; `wait` gives the result with `tag`."""
        self._schedule(_Task(tag, function, arguments))

    def wait(self) -> tuple[Any, Any]:
        """The tag and the result of the next task that ends, or `Lost`; what the task raised is raised."""
        while True:
            task, future = self._done.get()
            error = future.exception()
            if error is None:
                return task.tag, future.result()
            if isinstance(error, FutureTimeoutError):
                return task.tag, Lost(f"timeout: took more than {self.timeout_seconds:g} s")
            if is_short_of_memory(error):
                return task.tag, Lost(f"memory: needed more than {self.memory_gib:g} GiB")
            if not isinstance(error, ProcessExpired | BrokenProcessPool):
                raise error
            if task.attempts >= _ATTEMPTS:
                return task.tag, Lost(f"crashed: {_describe(getattr(error, 'exitcode', None))}")
            self._schedule(task)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        _remove(self._scratch)

    def _schedule(self, task: _Task) -> None:
        if not self._pool.active:  # all processes were killed at once
            self._pool = self._start()
        task.attempts += 1
        future = self._pool.schedule(task.function, args=task.arguments, timeout=self.timeout_seconds)
        future.add_done_callback(lambda done: self._done.put((task, done)))

    def _start(self) -> ProcessPool:
        return ProcessPool(
            self.number,
            initializer=_settle,
            initargs=(int(self.memory_gib * 2**30), str(self._scratch)),
            context=_context,
        )


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error says that the limit on memory was met, in Python, NumPy or torch, which has no type for it."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _settle(memory: int, scratch: str) -> None:
    """Make this process one that can do no harm: limits, no core dumps, no output, dead when its parent dies."""
    CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory + _data_bytes(),) * 2)
    tempfile.tempdir = scratch
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # codecs print what they stumble over, values of the file among it
        os.dup2(silence, stream)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _data_bytes() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))


def _describe(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process that read it was ended by {signal.Signals(-exitcode).name}"
    return "the process that read it ended"
