"""The place where results are written."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medseg.receipt.digests import digest_file


class Sink(Protocol):
    """A place for results, by their names. It is sent to the worker processes, which write the results."""

    @property
    def threads(self) -> int:
        """Number of threads in which `size` should be called. One: it is fast, and so is `remove`."""

    def path(self, name: str) -> Path:
        """The path where a result is written, whole or not at all, before `store`."""

    def store(self, name: str) -> tuple[int, str]:
        """Keep the result that has been written: its size in bytes, and its SHA-256."""

    def size(self, name: str) -> int:
        """Size of a result in bytes; -1 if it does not exist."""

    def digest(self, name: str) -> str:
        """SHA-256 of a result as 64 hex digits; empty if it does not exist."""

    def remove(self, name: str) -> None:
        """Remove a result if it exists."""

    def sweep(self, name: str) -> None:
        """Remove the unfinished files of a result, left by a process that died."""


@dataclass(frozen=True)
class FolderSink:
    """A folder for results. Names are relative to it."""

    folder: Path
    threads = 1

    def path(self, name: str) -> Path:
        """The path of a result."""
        return self.folder / name

    def store(self, name: str) -> tuple[int, str]:
        """Size and SHA-256 of the result, which has been written in its place."""
        return self.size(name), self.digest(name)

    def size(self, name: str) -> int:
        """Size of a result in bytes; -1 if it does not exist."""
        try:
            return self.path(name).stat().st_size
        except OSError:
            return -1

    def digest(self, name: str) -> str:
        """SHA-256 of a result as 64 hex digits; empty if it does not exist."""
        try:
            return digest_file(self.path(name))
        except OSError:
            return ""

    def remove(self, name: str) -> None:
        """Remove a result if it exists."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self.path(name).unlink()

    def sweep(self, name: str) -> None:
        """Remove the unfinished files of a result, left by a process that died."""
        path = self.path(name)
        for unfinished in path.parent.glob(f".{path.name}.*.tmp"):
            unfinished.unlink()
