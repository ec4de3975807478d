"""Archives in the input folder. The files in them are entries; a worker reads one at a time into its memory."""

# ruff: noqa: PTH113, PTH116, PTH118 -- pathlib has no paths of bytes

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from medseg.archive.formats import Member
from medseg.archive.members import NESTED, Archive, open_archive
from medseg.errors import ArchiveError
from medseg.folder.pool import Lost, Workers
from medseg.folder.walk import Entry, fingerprint, open_quietly, promises_archive
from medseg.inference.config import InputConfig
from medseg.radiograph.source import MAX_BYTES, InMemory

_MAX_KEPT = 200_000  # entries

Listed = list[Member] | Lost | None
"""The files in an archive; the reason why it cannot be read; None if it is not an archive."""


class MemberFile(InMemory):
    """A file of an archive in memory."""

    def __init__(self, archive: BinaryIO, name: bytes) -> None:
        super().__init__(name=os.fsdecode(name))
        self._archive = os.dup(archive.fileno())

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """The fingerprint of the archive."""
        return fingerprint(os.fstat(self._archive))

    def close(self) -> None:
        """Close the file and the archive."""
        if not self.closed:
            os.close(self._archive)
        super().close()


class DamagedFile(MemberFile):
    """A file of an archive that cannot be read. Its content is an `ArchiveError`."""

    def __init__(self, archive: BinaryIO, name: bytes, error: ArchiveError) -> None:
        super().__init__(archive, name)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Raise the error."""
        raise self._error


def list_entries(path: bytes, entry: Entry, scratch: Path | None, limits: InputConfig | None) -> Iterator[Entry]:
    """The files in the archive at `path` as entries, in the order of the archive.

    They have the fingerprint of the archive. If the archive cannot be read, or all its files have the same fault, there
    is one entry, for the archive. A file that is no archive is itself the entry.
    """
    with _lock:
        known = _kept.get(path)
        if known is None or known[0] != entry:
            listed = list_archive(path) if scratch is None or limits is None else _list_apart(path, scratch, limits)
            if sum(len(entries) for _, entries in _kept.values()) > _MAX_KEPT:
                _kept.clear()
            known = _kept[path] = entry, tuple(_name_entries(entry, listed))
    yield from known[1]


def list_archive(path: bytes) -> Listed:
    """The files in an archive. To be called in a process that may be killed, because the archive may be hostile."""
    try:
        with open_quietly(path) as file:
            archive = open_archive(file)
            return None if archive is None else archive.list_members()
    except ArchiveError as error:
        return Lost(f"archive: {error.reason}")
    except OSError as error:
        return Lost(f"unreadable: {error.strerror or type(error).__name__}")


def open_member(path: bytes) -> MemberFile:
    """Read a file of an archive; `path` is the path of the archive, then that in the archive.

    The archive stays open, so that the next file is found without reading the archive again from its start. If the file
    is damaged, reading it raises `ArchiveError`. Raises `ArchiveError`, `OSError`, and `MemoryError` for the archive.
    """
    global _opened
    archive, member = _split(path)
    if _opened is None or not _opened.is_at(archive):
        close_archive()
        _opened = _Opened.open(archive)
    file = MemberFile(_opened.file, path)
    try:
        for chunk in _opened.archive.read(os.fsdecode(member)):
            file.write(chunk)
    except BaseException as error:
        damaged = DamagedFile(_opened.file, path, error) if isinstance(error, ArchiveError) else None
        file.close()
        close_archive()  # its state is unknown
        if damaged is None:
            raise
        return damaged
    file.seek(0)
    return file


def close_archive() -> None:
    """Close the archive that `open_member` keeps open."""
    global _opened
    if _opened is not None:
        _opened.file.close()
        _opened = None


@dataclass(frozen=True)
class _Opened:
    path: bytes
    touched: tuple[int, ...]
    file: BinaryIO
    archive: Archive

    @classmethod
    def open(cls, path: bytes) -> "_Opened":
        file = open_quietly(path)
        touched = fingerprint(os.fstat(file.fileno()))
        try:
            archive = open_archive(file)
            if archive is None:
                raise ArchiveError("is no longer an archive")
        except BaseException:
            file.close()
            raise
        return cls(path, touched, file, archive)

    def is_at(self, path: bytes) -> bool:
        return self.path == path and fingerprint(os.stat(path)) == self.touched


_opened: _Opened | None = None  # of this worker
_lock = threading.Lock()
_kept: dict[bytes, tuple[Entry, tuple[Entry, ...]]] = {}  # path of an archive -> its entry, and those of its files


def _list_apart(path: bytes, scratch: Path, limits: InputConfig) -> Listed:
    """`list_archive` in its own process, with the limits of a worker. Its temporary files are in `scratch`."""
    with Workers(1, limits, scratch) as workers:
        workers.submit(None, list_archive, path)
        ended = workers.wait()
    assert ended is not None  # nothing wakes it
    listed: Listed = ended[1]
    return listed


def _name_entries(entry: Entry, listed: Listed) -> Iterable[Entry]:
    if listed is None:
        return [_limit_size(entry)]
    if isinstance(listed, Lost):
        return [replace(entry, status="rejected", reason=listed.reason)]
    if not listed:
        return [replace(entry, status="skipped", reason="archive: has no files")]
    faults = {member.fault for member in listed}
    if len(faults) == 1 and "" not in faults:
        return [replace(entry, status="rejected", reason=f"archive: {faults.pop()}")]
    before = b"" if entry.path == b"." else entry.path + b"/"
    return _unite(_name_entry(before, entry, member) for member in listed)


def _limit_size(entry: Entry) -> Entry:
    """A file that is no archive. Unlike archives, it must be small enough to be read at once."""
    size = entry.fingerprint[1] if entry.fingerprint is not None else 0
    return replace(entry, status="skipped", reason=f"too-large: has {size} bytes") if size > MAX_BYTES else entry


def _name_entry(before: bytes, entry: Entry, member: Member) -> Entry:
    path = before + os.fsencode(member.name)
    fault = member.fault or (NESTED if promises_archive(path) else "")
    return replace(entry, path=path, status="rejected" if fault else "", reason=f"archive: {fault}" if fault else "")


def _unite(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, one for each path: files of one name in an archive are one, with a fault."""
    return list({entry.path: entry for entry in entries}.values())


def _split(path: bytes) -> tuple[bytes, bytes]:
    """The path of the archive, and the path in it. Raises `FileNotFoundError` if there is no such archive."""
    archive, member = os.path.split(path)
    while not os.path.isfile(archive):
        if archive in (b"/", b""):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        archive, last = os.path.split(archive)
        member = os.path.join(last, member)
    return archive, member
