"""Repeated walks through a folder to find new files that have stopped growing."""

import time
from collections.abc import Callable, Iterable, Iterator

from medseg.folder.walk import Entry
from medseg.inference.config import InputConfig

_SHARE = 4  # the pause after a walk is at least this many times as long as the walk

Seen = dict[bytes, tuple[int, ...] | None]


def watch(
    source: Iterable[Entry], is_known: Callable[[Entry], bool], config: InputConfig, stopped: Callable[[], bool]
) -> Iterator[Iterator[Entry]]:
    """The settled entries of the source: once at first, then whenever there is something new, until `stopped`.

    An entry is settled if it is known, or if it did not change between two walks. Memory grows with the number of files
    that are not known, which are new files and files that cannot be read.
    """
    before: Seen = {}
    tried: Seen | None = None
    while not stopped():
        started = time.monotonic()
        seen = {entry.path: entry.fingerprint for entry in source if not is_known(entry)}
        settled = {path: touched for path, touched in seen.items() if before.get(path) == touched}
        if tried is None or any(tried.get(path) != touched for path, touched in settled.items()):
            yield (each for each in source if settled.get(each.path) == each.fingerprint or is_known(each))
            tried = settled
        before = seen
        _pause(max(config.poll_seconds, _SHARE * (time.monotonic() - started)), stopped)


def _pause(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stopped() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
