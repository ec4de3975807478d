"""The place where results are written."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medseg.receipt.digests import digest_file


@dataclass(frozen=True)
class FolderSink:
    """A folder for results. Names are relative to it. It is sent to the worker processes, which write the results.

    Any other sink must have the same methods.
    """

    folder: Path

    def path(self, name: str) -> Path:
        """The path of a result. It must be written whole or not at all."""
        return self.folder / name

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
