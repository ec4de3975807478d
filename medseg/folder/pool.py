"""Worker processes. If one dies, hangs or uses too much memory, only one file is lost.

Each worker has its own pipe. A worker that dies, at whatever moment, cannot lose or block the work of the others.
"""

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from ctypes import CDLL
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from medseg.errors import StorageError, WorkerError
from medseg.hardware.cores import count_cores
from medseg.inference.config import InputConfig
from medseg.output.writers import list_modules

_ATTEMPTS = 3  # a process may be killed because of another process, so its task is tried again
_STILLBORN = 10  # give up after so many processes in a row that end before they are ready
_PR_SET_PDEATHSIG = 1
_context = multiprocessing.get_context("forkserver")
_hiding = threading.Lock()  # two threads start workers: those that predict, and those that list archives


def start_server(formats: Collection[str]) -> None:
    """Start the process that workers are forked from. It imports their modules in the background."""
    from multiprocessing import forkserver

    _context.set_forkserver_preload(["medseg.folder.write", "scipy.sparse.csgraph", *list_modules(formats)])
    with _main_hidden():
        forkserver.ensure_running()


@contextmanager
def _main_hidden() -> Iterator[None]:
    """The block in which new processes do not run the main module. A script without a guard would start itself again.

    Workers need nothing of it.
    """
    with _hiding:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@dataclass(frozen=True)
class Lost:
    """The result of a task that ended its process, took too long or needed too much memory. Reason: `code: text`."""

    reason: str


@dataclass(frozen=True)
class Gone:
    """The result of a task that ended with its machine. The file must be read again, on another machine."""


@dataclass(eq=False)
class _Task:
    tag: object
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    attempts: int = 0


class _Worker:
    """One process and its current task."""

    def __init__(self, memory: int, scratch: Path) -> None:
        self.pipe, theirs = _context.Pipe()
        self.process = _context.Process(target=_serve, args=(theirs, memory, str(scratch)), daemon=True)
        with _main_hidden():
            self.process.start()
        theirs.close()  # so that the pipe closes when the process ends
        self.ready = False
        self.task: _Task | None = None
        self.deadline = float("inf")

    def end(self) -> int | None:
        """Kill the process and return its exit code."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


class Workers:
    """A pool of processes with limits on the time and memory of each task. A context manager."""

    def __init__(self, number: int | None, limits: InputConfig, folder: Path) -> None:
        """Start `number` processes (None: one per core) with temporary files in `folder`. Raises `StorageError`."""
        self.number = number or count_cores()
        self.timeout_seconds = limits.timeout_seconds
        self.memory_gib = limits.memory_gib
        self._scratch = folder / ".scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # files left by a killed process
        try:
            self._scratch.mkdir(mode=0o700)
        except OSError as error:
            raise StorageError(f"{self._scratch}: could not be created: {error.strerror}") from error
        self._waiting: deque[_Task] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stillborn = 0
        self._workers = [self._start() for _ in range(self.number)]

    def submit(self, tag: object, function: Callable[..., Any], *arguments: Any) -> None:
        """Run `function(*arguments)` in one of the processes. `wait` returns the result with `tag`."""
        self._waiting.append(_Task(tag, function, arguments))
        self._dispatch()

    def wake(self) -> None:
        """Make the current or next call of `wait` return without a result. Any thread may call this."""
        os.eventfd_write(self._bell, 1)

    def wait(self) -> tuple[Any, Any] | None:
        """The tag of the next task that ends, and its result or `Lost`; None after `wake`.

        An error of the task is raised here.
        """
        while True:
            left = min(worker.deadline for worker in self._workers) - time.monotonic()
            pipes = [worker.pipe for worker in self._workers]
            called = connection.wait([*pipes, self._bell], None if left == float("inf") else max(left, 0))
            if self._bell in called:
                os.eventfd_read(self._bell)
                return None
            for index, worker in enumerate(self._workers):
                ended = self._receive(worker) if worker.pipe.poll() else self._check_time(worker)
                if worker.process.exitcode is not None:
                    self._workers[index] = self._start()
                if ended is not None:
                    self._dispatch()
                    return ended
            self._dispatch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        os.close(self._bell)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _start(self, attempts: int = _ATTEMPTS) -> _Worker:
        try:
            return _Worker(int(self.memory_gib * 2**30), self._scratch)
        except (OSError, EOFError) as error:
            if attempts > 1:
                time.sleep(0.1)  # the fork server is ending; the next attempt starts a new one
                return self._start(attempts - 1)
            raise WorkerError(f"the processes that read files cannot be started: {type(error).__name__}") from error

    def _dispatch(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.ready and worker.task is None:
                worker.task = task = self._waiting.popleft()
                worker.deadline = time.monotonic() + self.timeout_seconds
                with suppress(OSError):  # the worker has just died; `wait` sees its closed pipe
                    worker.pipe.send((task.function, task.arguments))

    def _receive(self, worker: _Worker) -> tuple[Any, Any] | None:
        """Read the message of a worker: it is ready, it has a result, or (closed pipe) it died."""
        try:
            error, value = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        task, worker.task, worker.deadline = worker.task, None, float("inf")
        if task is None:
            worker.ready, self._stillborn = True, 0
            return None
        if error is None:
            return task.tag, value
        if is_short_of_memory(error):
            return task.tag, Lost(f"memory: needed more than {self.memory_gib:g} GiB")
        raise error

    def _check_time(self, worker: _Worker) -> tuple[Any, Any] | None:
        if worker.task is None or time.monotonic() < worker.deadline:
            return None
        worker.end()
        return worker.task.tag, Lost(f"timeout: took more than {self.timeout_seconds:g} s")

    def _bury(self, worker: _Worker) -> tuple[Any, Any] | None:
        """Handle a worker that died: its task is tried again or is lost."""
        worker.process.join(timeout=5)
        exitcode = worker.end()
        task = worker.task
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise WorkerError(f"the processes that read files cannot be started: {_describe(exitcode)}")
        if task is None:
            return None
        task.attempts += 1
        if task.attempts < _ATTEMPTS:
            self._waiting.appendleft(task)
            return None
        code = "killed" if exitcode in (-signal.SIGKILL, -signal.SIGTERM) else "crashed"
        return task.tag, Lost(f"{code}: {_describe(exitcode)}")


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory limit was reached. torch has no error type for it, only a message."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _serve(pipe: "connection.Connection[Any, Any]", memory: int, scratch: str) -> None:
    """Run tasks until the other end of the pipe is closed."""
    _settle(memory, scratch)
    pipe.send((None, None))
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[BaseException | None, Any] = None, function(*arguments)
        except Exception as error:  # `wait` raises it again
            answer = error, None
        pipe.send(answer)


def _settle(memory: int, scratch: str) -> None:
    """Make this process harmless: limits, no core dumps, no output, and an end when its parent dies."""
    CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = memory + _data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    tempfile.tempdir = scratch
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # error messages of codecs may contain values of the file
        os.dup2(silence, stream)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _data_bytes() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))


def _describe(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process that read it was stopped by {signal.Signals(-exitcode).name}"
    return f"the process that read it ended with exit code {exitcode}"
