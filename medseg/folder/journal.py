"""The journal of an output folder: an append-only file of JSON lines that stays valid after any crash."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from medseg.atomic import write_text
from medseg.errors import StorageError
from medseg.folder.index import Line, Place, Places

JOURNAL_NAME = "journal.jsonl"
"""File name of the journal in every output folder."""

JOURNAL_MARK = b'{"medseg_journal":'
"""First bytes of every journal, in all versions."""

_HEADER = JOURNAL_MARK + b" 1}\n"
_KEY_LENGTH = 32
_LINE = re.compile(rb'\{"path": "([0-9a-f]{32})"')
_FLUSH_SECONDS = 0.5
RUN = b""
"""Path of the record that belongs to the whole run, not to a file."""


class Journal:
    """The latest record of each input path. It is on disk within a second after it was appended.

    A path is stored only as 32 hex digits of its SHA-256, because file names may contain patient names. The positions
    of the records are kept in a temporary SQLite database that deletes itself, so memory use does not grow. Any thread
    may append and find.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal at `path`, or create it. An incomplete last line, left by a crash, is removed.

        Raises `StorageError` if the file cannot be written or is not a journal.
        """
        self._path = path
        self._lock = threading.Lock()
        self._pending = bytearray()  # complete lines that are not in the file yet
        self._end = 0  # length of the lines that are safely in the file
        self._failure: StorageError | None = None
        self._file = _open_journal(path)
        try:
            self._places = Places()
            try:
                self._read_index()
            except BaseException:
                self._places.close()
                raise
        except BaseException:
            self._file.close()
            raise
        self._stopping = threading.Event()
        self._flusher = threading.Thread(target=self._keep_flushing, name="journal", daemon=True)
        self._flusher.start()

    def find(self, path: bytes) -> dict[str, Any] | None:
        """The latest record of `path`; None if there is none."""
        return self.find_key(derive_key(path))

    def find_key(self, key: str) -> dict[str, Any] | None:
        """The latest record of the path with this key, as lines of a journal have it at `path`."""
        with self._lock:
            place = self._places.find(key)
            if place is None:
                return None
            start, length = place
            if start < self._end:
                line = os.pread(self._file.fileno(), length, start)
            else:
                line = bytes(self._pending[start - self._end : start - self._end + length])
        record = _parse(line)
        return None if record is None else {name: value for name, value in record.items() if name != "path"}

    @property
    def backend(self) -> str:
        """The backend that the folder was started with, such as `torch/cpu/bf16`; empty in a new folder."""
        return str((self.find(RUN) or {"backend": ""})["backend"])

    def keep_backend(self, name: str) -> None:
        """Record the backend that makes the masks of the folder, if it is not recorded yet."""
        if name != self.backend:
            self.append(RUN, {"backend": name})

    def append(self, path: bytes, record: Mapping[str, Any]) -> None:
        """Add a record of `path`. The record must not have a key `path`.

        If earlier records could not be written, this raises `StorageError` and adds nothing. The earlier records are
        kept, and writing them is tried again.
        """
        self.append_key(derive_key(path), record)

    def append_key(self, key: str, record: Mapping[str, Any]) -> None:
        """Add a record of the path with this key."""
        assert "path" not in record
        line = json.dumps({"path": key, **record}).encode() + b"\n"
        with self._lock:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            start = self._end + len(self._pending)
            self._pending += line
            self._places.fill([(key, start, len(line))])

    def close(self) -> None:
        """Write the remaining records. If this fails, it raises `StorageError`; earlier records stay valid."""
        self._stopping.set()
        self._flusher.join()
        try:
            self._flush()
        finally:
            self._places.close()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_flushing(self) -> None:
        while not self._stopping.wait(_FLUSH_SECONDS):
            try:
                self._flush()
                self._failure = None
            except StorageError as error:
                self._failure = error

    def _flush(self) -> None:
        """Write the pending lines. Only one thread may call this. If it fails, the file keeps its earlier content."""
        if self._file.closed:
            return
        with self._lock:
            lines = bytes(self._pending)
        if not lines:
            return
        try:
            written = 0
            while written < len(lines):
                written += os.pwrite(self._file.fileno(), lines[written:], self._end + written)
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), self._end)
            raise _unwritten(self._path, error) from error
        with self._lock:
            del self._pending[: len(lines)]
            self._end += len(lines)

    def _read_index(self) -> None:
        """Find the positions of all records, and cut off an incomplete last line."""
        try:
            with self._path.open("rb") as file:
                self._places.fill(self._track(_list_lines(file)))
            os.ftruncate(self._file.fileno(), self._end)
        except OSError as error:
            raise _unwritten(self._path, error) from error

    def _track(self, lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            self._end = line[1] + line[2]
            yield line


def read_latest(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The latest record of each path, with its place in the journal, in the order of the journal.

    The records have the keys of their paths at `path`. Nothing is written. Raises `OSError`.
    """
    with path.open("rb") as file, Places() as places:
        places.fill(_list_lines(file))
        for start, length in places:
            if (record := _parse(os.pread(file.fileno(), length, start))) is not None:
                yield (start, length), record


def _list_lines(file: BinaryIO) -> Iterator[Line]:
    """The complete lines."""
    start = 0
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield _read_key(line), start, len(line)
        start += len(line)


def _open_journal(path: Path) -> BinaryIO:
    """The open file of a journal with a valid header. A header left incomplete by a crash is written again."""
    try:
        head = b""
        if path.exists():
            if not path.is_file():
                raise StorageError(f"{path}: not a regular file; move it or choose another output.dir")
            with path.open("rb") as file:
                head = file.read(len(_HEADER))
        if head != _HEADER:
            if not _HEADER.startswith(head):
                raise StorageError(
                    f"{path}: this file is not a journal that this version of medseg can read; move it or choose "
                    "another output.dir"
                )
            write_text(path, _HEADER.decode())
        return path.open("r+b", buffering=0)
    except OSError as error:
        raise _unwritten(path, error) from error


def _read_key(line: bytes) -> str | None:
    """The key of a record; None if the line is the header or not a record. The record itself is parsed when needed."""
    found = _LINE.match(line)
    return found[1].decode() if found is not None and line.endswith(b"}\n") else None


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record in a line; None if it is damaged."""
    try:
        record: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record


def derive_key(path: bytes) -> str:
    """The key under which a journal has a path."""
    return hashlib.sha256(path).hexdigest()[:_KEY_LENGTH]


def _unwritten(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: could not be written: {error.strerror or error}")
