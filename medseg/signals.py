"""Handling of SIGINT and SIGTERM in commands. They end a training after its current step, and other work at once.

Without a command, or outside the main thread, signal handlers are not changed.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TOGETHER = 2.0  # seconds: Slurm ends all processes, and torchrun passes on the signal that it got itself


class Interrupted(BaseException):
    """A signal asked this process to end. It is not an `Exception`, so that no code handles it as a failure."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Pending:
    """The deferred signal, if one came."""

    signum: int | None = None
    since = 0.0

    def came(self) -> bool:
        """Whether a signal came."""
        return self.signum is not None

    def raise_if_came(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self.signum is not None:
            raise Interrupted(self.signum)


@contextmanager
def signals_raised() -> Iterator[None]:
    """Make SIGINT and SIGTERM raise `Interrupted` within the block. Commands run in such a block."""
    with _handling(_raise):
        yield


@contextmanager
def signals_deferred() -> Iterator[Pending]:
    """Only remember the first signal within the block, so that the loop can stop at a safe place. A second one raises.

    A SIGTERM that comes twice at once, from a launcher and from what has ended the launcher, counts once.
    Outside `signals_raised` nothing changes.
    """
    pending = Pending()
    if signal.getsignal(signal.SIGTERM) is not _raise:
        yield pending
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        if pending.signum is None:
            pending.signum, pending.since = signum, time.monotonic()
        elif (signum, pending.signum) != (signal.SIGTERM,) * 2 or time.monotonic() - pending.since > _TOGETHER:
            raise Interrupted(signum)

    with _handling(handle):
        yield pending


def _raise(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)


@contextmanager
def _handling(handle: object) -> Iterator[None]:
    """Set `handle` as signal handler within the block. Does nothing outside the main thread, which owns the signals."""
    numbers = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, handle) for number in numbers}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
