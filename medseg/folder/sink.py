"""Where results are written."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FolderSink:
    """A folder of results, by names relative to it. Travels to the worker processes, which write them.

    Another sink offers the same.
    """

    folder: Path

    def path(self, name: str) -> Path:
        """Where a result is to be written, whole or not at all."""
        return self.folder / name

    def size(self, name: str) -> int:
        """Bytes of a result; -1 where there is none."""
        try:
            return self.path(name).stat().st_size
        except OSError:
            return -1

    def remove(self, name: str) -> None:
        """Remove a result if there is one."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self.path(name).unlink()

    def sweep(self, name: str) -> None:
        """Remove what a process that died has left of a result under way."""
        path = self.path(name)
        for unfinished in path.parent.glob(f".{path.name}.*.tmp"):
            unfinished.unlink()
