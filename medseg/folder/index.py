"""Temporary tables in SQLite, so that memory does not grow with the number of files."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from medseg.errors import StorageError

Place = tuple[int, int]
"""Start and length of a line in a file."""
Line = tuple[str | None, int, int]
"""Key, start and length of a line. The key is hex digits; None if the line has none."""


class Table:
    """A temporary table, which deletes itself. SQLite moves it to disk beyond 8 MB. A context manager."""

    def __init__(self, columns: str) -> None:
        """`columns` are those of SQL; the first one is the primary key. Raises `StorageError`."""
        with indexing():
            self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            for statement in (
                "PRAGMA journal_mode=OFF",
                "PRAGMA cache_size=-8192",
                f"CREATE TABLE found ({columns}) WITHOUT ROWID",
                "BEGIN",  # a transaction a row takes longer
            ):
                self._database.execute(statement)

    def close(self) -> None:
        """Delete the table."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Places(Table):
    """The place of the latest line of each key in a file."""

    def __init__(self) -> None:
        super().__init__("key BLOB PRIMARY KEY, start INTEGER, length INTEGER")

    def fill(self, lines: Iterable[Line]) -> None:
        """Add any number of lines, from the first to the latest. Lines without a key are skipped."""
        rows = ((bytes.fromhex(key), start, length) for key, start, length in lines if key is not None)
        with indexing():
            self._database.executemany("INSERT OR REPLACE INTO found VALUES (?, ?, ?)", rows)

    def find(self, key: str) -> Place | None:
        """The place of a key; None if it has none."""
        with indexing():
            query = "SELECT start, length FROM found WHERE key = ?"
            place: Place | None = self._database.execute(query, (bytes.fromhex(key),)).fetchone()
        return place

    def __iter__(self) -> Iterator[Place]:
        """All places, in the order of the file."""
        with indexing():
            yield from self._database.execute("SELECT start, length FROM found ORDER BY start")


class Firsts(Table):
    """The first id of each digest, for any number of digests in little memory."""

    def __init__(self) -> None:
        super().__init__("digest BLOB PRIMARY KEY, id TEXT")

    def first(self, digest: str, id: str) -> str | None:
        """The first id that came with `digest`; None if `id` is the first. Then it is remembered."""
        key = hashlib.sha256(digest.encode()).digest()[:16]
        with indexing():
            added = self._database.execute("INSERT OR IGNORE INTO found VALUES (?, ?)", (key, id))
            if added.rowcount == 1:
                return None
            found = self._database.execute("SELECT id FROM found WHERE digest = ?", (key,)).fetchone()
        return str(found[0])


@contextmanager
def indexing() -> Iterator[None]:
    """Raises errors of SQLite as `StorageError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"the temporary index could not be written: {error}; is the folder TMPDIR full?") from error
