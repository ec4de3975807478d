"""Looking at a folder again and again for files that are new and have stopped growing."""

import time
from collections.abc import Callable, Iterable, Iterator

from medseg.folder.examine import fingerprint
from medseg.folder.walk import Entry
from medseg.inference.config import InputConfig
from medseg.signals import Pending

_SHARE = 4  # a look at a large folder is followed by a pause of so many times its length

Seen = dict[bytes, tuple[int, ...]]


def watch(
    look: Callable[[], Iterable[Entry]], is_known: Callable[[Entry], bool], config: InputConfig, pending: Pending
) -> Iterator[Iterator[Entry]]:
    """The settled entries of the folder, at first and whenever there is something new, until a signal is `pending`.

    An entry is settled if it is known, or was not touched between two looks. Memory grows with the files that are not
    known, which are the new ones and those that cannot be read.
    """
    before: Seen = {}
    tried: Seen | None = None
    while pending.signum is None:
        started = time.monotonic()
        seen = {entry.path: _touched(entry) for entry in look() if not is_known(entry)}
        settled = {path: touched for path, touched in seen.items() if before.get(path) == touched}
        if tried is None or any(tried.get(path) != touched for path, touched in settled.items()):
            yield (entry for entry in look() if settled.get(entry.path) == _touched(entry) or is_known(entry))
            tried = settled
        before = seen
        _pause(max(config.poll_seconds, _SHARE * (time.monotonic() - started)), pending)


def _touched(entry: Entry) -> tuple[int, ...]:
    return fingerprint(entry.stat) if entry.stat is not None else ()


def _pause(seconds: float, pending: Pending) -> None:
    until = time.monotonic() + seconds
    while pending.signum is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
