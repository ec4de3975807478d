"""The journal of an output folder: an append-only file of JSON lines that stays valid after any crash."""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from medseg.atomic import write_text
from medseg.errors import StorageError

JOURNAL_NAME = "journal.jsonl"
"""File name of the journal in every output folder."""

JOURNAL_MARK = b'{"medseg_journal":'
"""First bytes of every journal, in all versions."""

_HEADER = JOURNAL_MARK + b" 1}\n"
_KEY_LENGTH = 32
_FLUSH_SECONDS = 0.5
_RUN = b""
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
            self._index = _open_index("records (key TEXT PRIMARY KEY, start INTEGER, length INTEGER)")
            try:
                self._read_index()
            except BaseException:
                self._index.close()
                raise
        except BaseException:
            self._file.close()
            raise
        self._stopping = threading.Event()
        self._flusher = threading.Thread(target=self._keep_flushing, name="journal", daemon=True)
        self._flusher.start()

    def find(self, path: bytes) -> dict[str, Any] | None:
        """The latest record of `path`; None if there is none."""
        with self._lock, _indexing():
            place = self._index.execute("SELECT start, length FROM records WHERE key = ?", (_hash(path),)).fetchone()
            if place is None:
                return None
            start, length = place
            if start < self._end:
                line = os.pread(self._file.fileno(), length, start)
            else:
                line = bytes(self._pending[start - self._end : start - self._end + length])
        record: dict[str, Any] = json.loads(line)
        del record["path"]
        return record

    @property
    def backend(self) -> str:
        """The backend that the folder was started with, such as `torch/cpu/bf16`; empty in a new folder."""
        return str((self.find(_RUN) or {"backend": ""})["backend"])

    def keep_backend(self, name: str) -> None:
        """Record the backend that makes the masks of the folder, if it is not recorded yet."""
        if name != self.backend:
            self.append(_RUN, {"backend": name})

    def append(self, path: bytes, record: Mapping[str, Any]) -> None:
        """Add a record of `path`. The record must not have a key `path`.

        If earlier records could not be written, this raises `StorageError` and adds nothing. The earlier records are
        kept, and writing them is tried again.
        """
        assert "path" not in record
        key = _hash(path)
        line = json.dumps({"path": key, **record}).encode() + b"\n"
        with self._lock, _indexing():
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            start = self._end + len(self._pending)
            self._pending += line
            self._index.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (key, start, len(line)))

    def close(self) -> None:
        """Write the remaining records. If this fails, it raises `StorageError`; earlier records stay valid."""
        self._stopping.set()
        self._flusher.join()
        try:
            self._flush()
        finally:
            self._index.close()
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
            with self._path.open("rb") as file, _indexing():
                self._index.execute("BEGIN")
                self._index.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", self._places(file))
                self._index.execute("COMMIT")
            os.ftruncate(self._file.fileno(), self._end)
        except OSError as error:
            raise _unwritten(self._path, error) from error

    def _places(self, file: BinaryIO) -> Iterator[tuple[str, int, int]]:
        for line in file:
            if not line.endswith(b"\n"):
                return
            key = _read_key(line)
            if key is not None:
                yield key, self._end, len(line)
            self._end += len(line)


class Firsts:
    """The first id of each digest, for any number of digests in little memory."""

    def __init__(self) -> None:
        self._index = _open_index("firsts (digest TEXT PRIMARY KEY, id TEXT)")

    def first(self, digest: str, id: str) -> str | None:
        """The first id that came with `digest`; None if `id` is the first. Then it is remembered."""
        with _indexing():
            added = self._index.execute("INSERT OR IGNORE INTO firsts VALUES (?, ?)", (digest, id))
            if added.rowcount == 1:
                return None
            found = self._index.execute("SELECT id FROM firsts WHERE digest = ?", (digest,)).fetchone()
        return str(found[0])

    def close(self) -> None:
        """Delete the index."""
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    """The key of a record; None if the line is the header or not a record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    key = record.get("path") if isinstance(record, dict) else None
    return key if isinstance(key, str) and len(key) == _KEY_LENGTH else None


def _hash(path: bytes) -> str:
    return hashlib.sha256(path).hexdigest()[:_KEY_LENGTH]


def _open_index(table: str) -> sqlite3.Connection:
    """A temporary database with one table. SQLite moves it to disk beyond 8 MB and deletes it by itself."""
    with _indexing():
        index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode=OFF", "PRAGMA cache_size=-8192", f"CREATE TABLE {table} WITHOUT ROWID"):
            index.execute(statement)
        return index


@contextmanager
def _indexing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"the temporary index could not be written: {error}; is the folder TMPDIR full?") from error


def _unwritten(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: could not be written: {error.strerror or error}")
