"""Processes that may die, hang or eat memory at the cost of one file.

Each has a pipe of its own, so that one that dies, at whatever moment, can neither lose nor block what others do.
"""

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from ctypes import CDLL
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Self

from medseg.errors import StorageError, WorkerError
from medseg.hardware.cores import count_cores
from medseg.inference.config import InputConfig
from medseg.output.writers import list_modules

_ATTEMPTS = 3  # a process that is killed may have been killed for another's sake
_STILLBORN = 10  # processes in a row that end before they are ready
_PR_SET_PDEATHSIG = 1
_context = multiprocessing.get_context("forkserver")


def start_server(formats: Collection[str]) -> None:
    """Start the process that workers are forked from. It imports what they need while this one goes on."""
    from multiprocessing import forkserver

    _context.set_forkserver_preload(["medseg.folder.write", *list_modules(formats)])
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


class _Worker:
    """One process, and the task it is at."""

    def __init__(self, memory: int, scratch: Path) -> None:
        self.pipe, theirs = _context.Pipe()
        self.process = _context.Process(target=_serve, args=(theirs, memory, str(scratch)), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.ready = False
        self.task: _Task | None = None
        self.deadline = float("inf")

    def end(self) -> int | None:
        """Kill the process; how it ended."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


class Workers:
    """A pool of processes with limits on time and memory of a task. A context manager."""

    def __init__(self, number: int | None, limits: InputConfig, folder: Path) -> None:
        """`number` processes, None for one a core, that keep temporary files in `folder`. Raises `StorageError`."""
        self.number = number or count_cores()
        self.timeout_seconds = limits.timeout_seconds
        self.memory_gib = limits.memory_gib
        self._scratch = folder / ".scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed process left
        try:
            self._scratch.mkdir()
        except OSError as error:
            raise StorageError(f"{self._scratch}: could not be made: {error.strerror}") from error
        self._waiting: deque[_Task] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stillborn = 0
        self._workers = [self._start() for _ in range(self.number)]

    def submit(self, tag: object, function: Callable[..., Any], *arguments: Any) -> None:
        """Run `function(*arguments)` in one of the processes; `wait` gives the result with `tag`."""
        self._waiting.append(_Task(tag, function, arguments))
        self._dispatch()

    def wake(self) -> None:
        """Have `wait`, or the next call of it, come back without a result. Any thread may ask for it."""
        os.eventfd_write(self._bell, 1)

    def wait(self) -> tuple[Any, Any] | None:
        """The tag and the result of the next task that ends, or `Lost`; None after `wake`.

        What the task raised is raised.
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
                time.sleep(0.1)  # the server that they are forked from is ending: the next attempt starts another
                return self._start(attempts - 1)
            raise WorkerError(f"the processes that read files cannot be started: {type(error).__name__}") from error

    def _dispatch(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.ready and worker.task is None:
                worker.task = task = self._waiting.popleft()
                worker.deadline = time.monotonic() + self.timeout_seconds
                with suppress(OSError):  # it has just died: the pipe tells `wait`
                    worker.pipe.send((task.function, task.arguments))

    def _receive(self, worker: _Worker) -> tuple[Any, Any] | None:
        """What a worker has to say: that it is ready, a result, or, by the end of its pipe, that it died."""
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
        """Decide on the task of a worker that died: once more, or lost."""
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
    """Whether an error says that the limit on memory was met, in Python, NumPy or torch, which has no type for it."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _serve(pipe: "connection.Connection[Any, Any]", memory: int, scratch: str) -> None:
    """Do tasks until the other end of the pipe is closed."""
    _settle(memory, scratch)
    pipe.send((None, None))
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[BaseException | None, Any] = None, function(*arguments)
        except Exception as error:  # raised again by the one who waits
            answer = error, None
        pipe.send(answer)


def _settle(memory: int, scratch: str) -> None:
    """Make this process one that can do no harm: limits, no core dumps, no output, dead when its parent dies."""
    CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = memory + _data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    tempfile.tempdir = scratch
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # codecs print what they stumble over, values of the file among it
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
