"""Where the files come from that are predicted."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from medseg.errors import RadiographError
from medseg.folder.walk import Entry, fingerprint, walk


@dataclass(frozen=True)
class FolderSource:
    """The files of a folder, by their names relative to it. Travels to the worker processes, which open them.

    Another source offers the same: its entries, in the same order each time it is iterated over; `open` and
    `fingerprint`; and an `identity`.
    """

    root: Path
    """Absolute: the journal tells folders apart by it."""
    output: Path | None = None
    """A folder of results, which is left out."""

    @property
    def identity(self) -> bytes:
        """What tells it from other sources, whose files may have the same names."""
        return os.fsencode(self.root)

    def __iter__(self) -> Iterator[Entry]:
        return walk(self.root, self.output)

    def open(self, name: bytes) -> BinaryIO:
        """The file of an entry, at its start. Raises `OSError`, and `RadiographError` for what is no file any more."""
        return open(self.root / os.fsdecode(name), "rb", opener=_open_quietly)

    def fingerprint(self, file: BinaryIO) -> tuple[int, ...]:
        """As in the entry of an open file, unless it has changed since."""
        return fingerprint(os.fstat(file.fileno()))


def _open_quietly(path: str, flags: int) -> int:
    """Open without waiting, should the file have become a FIFO since it was looked at; refuse it then."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RadiographError("is not a regular file", "not-regular")
    return descriptor
