"""The source of the files that a manifest names: local files, and objects in a store."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from medseg.data.threads import map_ahead
from medseg.errors import RadiographError, StorageError
from medseg.folder.index import Firsts
from medseg.folder.source import FolderSource, Shard
from medseg.folder.walk import Entry, meet_file, promises_archive, promises_image
from medseg.objects.manifest import read_paths
from medseg.objects.store import (
    UnreachableError,
    fingerprint_object,
    is_url,
    name_store,
    read_object,
    strip_credentials,
)
from medseg.radiograph.source import MAX_BYTES, InMemory

_Row = tuple[int, bytes, str]  # number from 0, name of the entry, path in the manifest
_THREADS = 32  # each waits for the answer of a store or of a file server


class ObjectFile(InMemory):
    """An object in memory."""

    def __init__(self, url: str, content: bytes, fingerprint: tuple[int, ...]) -> None:
        super().__init__(content, url)
        self.fingerprint = fingerprint


@dataclass(frozen=True)
class ManifestSource:
    """The files and objects of a manifest, in its order. Names are as in the manifest."""

    manifest: Path
    """Absolute path."""
    folder: FolderSource
    """Opens local files. Paths are relative to the folder of the manifest."""

    @property
    def shard(self) -> Shard | None:
        """The part of the rows that is iterated over."""
        return self.folder.shard

    @property
    def identity(self) -> bytes:
        """The path of the manifest."""
        return os.fsencode(os.path.normpath(self.manifest))

    def __iter__(self) -> Iterator[Entry]:
        """The entries. Raises `DataError` for a damaged manifest, `StorageError` if a store cannot be reached."""
        with Firsts() as firsts:
            for entry in map_ahead(self._meet, self._list_rows(), _THREADS):
                if firsts.first(entry.path.hex(), "") is not None:
                    yield replace(entry, status="skipped", reason="duplicate: an earlier row has the same path")
                else:
                    yield from self.folder.expand(entry)

    def glance(self) -> Iterable[object]:
        """The rows."""
        return self._list_rows()

    def open(self, name: bytes) -> BinaryIO:
        """Open a local file, or read an object into memory. Raises `OSError` and `RadiographError`."""
        url = os.fsdecode(name)
        if not is_url(url):
            return self.folder.open(name)
        before = fingerprint_object(url)
        if before[0] > MAX_BYTES:
            raise RadiographError(f"has {before[0]} bytes", "too-large")
        content = read_object(url)
        if fingerprint_object(url) != before:
            raise RadiographError("the object changed while it was read", "changing")
        return ObjectFile(url, content, before)

    def fingerprint(self, file: BinaryIO) -> tuple[int, ...]:
        """The fingerprint of an open file, or of an object when it was read."""
        return file.fingerprint if isinstance(file, ObjectFile) else self.folder.fingerprint(file)

    def _list_rows(self) -> Iterator[_Row]:
        """The rows of the shard. Those of others are not looked at."""
        for number, text in enumerate(read_paths(self.manifest)):
            name = os.fsencode(
                (strip_credentials(text) if is_url(text) else text) or f"row {number + 2}"
            )  # row 1 has the names of the columns
            if self.shard is None or self.shard.holds(name):
                yield number, name, text

    def _meet(self, row: _Row) -> Entry:
        number, name, text = row
        entry = self._look_at(name, text)
        return entry if self.shard is None else replace(entry, position=(number,))

    def _look_at(self, name: bytes, text: str) -> Entry:
        if not text:
            return Entry(name, None, "rejected", "unreadable: the row has no path")
        if not is_url(text):
            return meet_file(self.folder.root, name)
        if strip_credentials(text) != text:
            return Entry(name, None, "rejected", "credentials: the URL contained credentials, which were not used")
        if promises_archive(name):
            return Entry(name, None, "rejected", "archive: archives in an object store are not read. Unpack it")
        return _meet_object(name, text)


def _meet_object(name: bytes, url: str) -> Entry:
    try:
        fingerprint = fingerprint_object(url)
    except UnreachableError as error:
        raise StorageError(
            f"{name_store(url)}: {error.strerror}. Check the network, and the address and the credentials in the "
            "environment. Run the same command again to resume"
        ) from None
    except RadiographError as error:
        return Entry(name, None, "rejected", f"{error.code}: {error.reason}")
    except OSError as error:
        return Entry(name, None, "rejected", f"unreadable: {error.strerror}")
    if fingerprint[0] > MAX_BYTES:
        verdict = "rejected" if promises_image(name) else "skipped"
        return Entry(name, None, verdict, f"too-large: has {fingerprint[0]} bytes")
    return Entry(name, fingerprint)
