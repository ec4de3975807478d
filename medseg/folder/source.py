"""The source of the files that are predicted."""

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
    """The files of a folder. Names are relative to it. It is sent to the worker processes, which open the files.

    Any other source must offer the same: iteration over its entries, always in the same order; `open`, `fingerprint`
    and `identity`.
    """

    root: Path
    """Absolute path. The journal tells folders apart by it."""
    output: Path | None = None
    """A folder of results, which is not read."""

    @property
    def identity(self) -> bytes:
        """The name of this source. Other sources may have files with the same names."""
        return os.fsencode(self.root)

    def __iter__(self) -> Iterator[Entry]:
        return walk(self.root, self.output)

    def open(self, name: bytes) -> BinaryIO:
        """Open the file of an entry. Raises `OSError`, and `RadiographError` if it is no longer a regular file."""
        return open(self.root / os.fsdecode(name), "rb", opener=_open_quietly)

    def fingerprint(self, file: BinaryIO) -> tuple[int, ...]:
        """The fingerprint of an open file. It equals that of its entry unless the file has changed."""
        return fingerprint(os.fstat(file.fileno()))


def _open_quietly(path: str, flags: int) -> int:
    """Open a file without waiting. Refuse it if it has become a FIFO or another special file in the meantime."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RadiographError("is not a regular file", "not-regular")
    return descriptor
