"""SIGINT and SIGTERM in a command: at once outside the training loop, at the end of the step inside it.

Who calls the library otherwise, or from another thread than the main one, has signals as they were.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked this process to end; no `Exception`, so that nothing takes it for a failure."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Pending:
    """The signal that came while it was deferred, if one came."""

    signum: int | None = None

    def came(self) -> bool:
        """Whether one came."""
        return self.signum is not None

    def raise_if_came(self) -> None:
        """Raise `Interrupted` for the one that came."""
        if self.signum is not None:
            raise Interrupted(self.signum)


@contextmanager
def signals_raised() -> Iterator[None]:
    """Within the block, a command, SIGINT and SIGTERM raise `Interrupted`."""
    with _handling(_raise):
        yield


@contextmanager
def signals_deferred() -> Iterator[Pending]:
    """Within the block the first signal is only remembered, for the loop to stop at a sound place; a second raises.

    Nothing changes where signals are not raised, outside a command.
    """
    pending = Pending()
    if signal.getsignal(signal.SIGTERM) is not _raise:
        yield pending
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        if pending.signum is not None:
            raise Interrupted(signum)
        pending.signum = signum

    with _handling(handle):
        yield pending


def _raise(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)


@contextmanager
def _handling(handle: object) -> Iterator[None]:
    """Nothing outside the main thread, which alone can handle signals, and whose matter they are."""
    numbers = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, handle) for number in numbers}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
