"""Display of the library's log messages in commands."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # nobody reads on: a training does not end with its terminal, or with `2>&1 | head`
            print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def show_log(least: int = logging.INFO) -> Iterator[None]:
    """Print messages of the log of `medseg`, from level `least` on, to stderr within the block; other logs stay."""
    logger, handler = logging.getLogger("medseg"), _Lines()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(least)
    logger.propagate = False  # a handler of the root logger, set by another library, would print the message again
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
