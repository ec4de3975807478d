"""The source of the files that are predicted."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from medseg.folder.archives import MemberFile, list_entries, open_member
from medseg.folder.walk import Entry, fingerprint, open_quietly, promises_archive, walk
from medseg.inference.config import InputConfig


@dataclass(frozen=True)
class Shard:
    """One of several parts of a source. Each file is in exactly one part, which depends on its path alone."""

    index: int
    """From 1."""
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard that `i/n` names."""
        index, number = map(int, text.split("/"))
        return cls(index, number)

    def __str__(self) -> str:
        return f"{self.index}/{self.number}"

    def holds(self, path: bytes) -> bool:
        """Whether the file at `path`, relative to the source, is in this shard."""
        return int.from_bytes(hashlib.sha256(path).digest()[:8]) % self.number == self.index - 1

    def pick(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries in this shard, with their positions among all."""
        for number, entry in enumerate(entries):
            if self.holds(entry.path):
                yield replace(entry, position=(number,))


class Source(Protocol):
    """Files by their names. It is sent to the worker processes, which open the files."""

    @property
    def identity(self) -> bytes:
        """The name of this source. Other sources may have files with the same names."""

    @property
    def shard(self) -> Shard | None:
        """The part of the files that is iterated over; None for all."""

    def __iter__(self) -> Iterator[Entry]:
        """The entries, always in the same order."""

    def glance(self) -> Iterable[object]:
        """An item for each entry, to count them."""

    def open(self, name: bytes) -> BinaryIO:
        """Open the file of an entry. Raises `OSError`, and `RadiographError` if it cannot be read."""

    def fingerprint(self, file: BinaryIO) -> tuple[int, ...]:
        """The fingerprint of an open file. It equals that of its entry unless the file has changed."""


@dataclass(frozen=True)
class FolderSource:
    """The files of a folder, and the files in its archives. Names are relative to the folder."""

    root: Path
    """Absolute path of a folder or of an archive. The journal tells sources apart by it."""
    output: Path | None = None
    """A folder of results, which is not read."""
    limits: InputConfig | None = None
    """Limits of the process that lists the files of an archive. None: this process lists them, without limits."""
    scratch: Path | None = None
    """The folder for temporary files of that process. None: the subfolder `.scratch` of `output`."""
    shard: Shard | None = None
    """The part of the files that is iterated over. An archive in the folder is in one shard with all its files."""

    @property
    def identity(self) -> bytes:
        """The name of this source. Other sources may have files with the same names."""
        return os.fsencode(os.path.normpath(self.root))

    def __iter__(self) -> Iterator[Entry]:
        if self.root.is_file():
            members = list_entries(
                os.fsencode(self.root), Entry(b".", fingerprint(self.root.stat())), self._scratch, self.limits
            )
            yield from members if self.shard is None else self.shard.pick(members)
            return
        met = walk(self.root, self.output)
        for entry in met if self.shard is None else self.shard.pick(met):
            yield from self.expand(entry)

    def glance(self) -> Iterable[object]:
        """The entries, since a walk is as fast as counting."""
        return self

    def expand(self, entry: Entry) -> Iterator[Entry]:
        """The entries of the files in an archive; the entry itself if it is no archive."""
        if entry.status or not promises_archive(entry.path):
            yield entry
            return
        path = os.path.join(os.fsencode(self.root), entry.path)  # noqa: PTH118
        members = list_entries(path, entry, self._scratch, self.limits)
        if self.shard is None:
            yield from members
        else:
            yield from (replace(each, position=(*entry.position, n)) for n, each in enumerate(members))

    @property
    def _scratch(self) -> Path | None:
        return self.scratch or (self.output / ".scratch" if self.output is not None else None)

    def open(self, name: bytes) -> BinaryIO:
        """Open the file of an entry. Raises `OSError`, and `RadiographError` if it cannot be read from its archive or
        is no longer a regular file.
        """
        path = os.path.join(os.fsencode(self.root), name)  # noqa: PTH118
        try:
            return open_quietly(path)
        except NotADirectoryError:
            return open_member(path)

    def fingerprint(self, file: BinaryIO) -> tuple[int, ...]:
        """The fingerprint of an open file. It equals that of its entry unless the file, or its archive, has changed."""
        return file.fingerprint if isinstance(file, MemberFile) else fingerprint(os.fstat(file.fileno()))
