"""The files in a zip or tar archive, listed and read without writing anything."""

import errno
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from medseg.archive.formats import DAMAGED, Item, Member, find_stream, list_items, refusing
from medseg.errors import ArchiveError

NAMES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
"""Ends of the file names of archives."""

NESTED = "is an archive inside an archive. Unpack the outer archive"

MAX_MEMBERS = 500_000
"""Largest number of files in an archive."""

_CHUNK = 1 << 18
_TWIN = "has the name of another file in the archive, perhaps in other case or other Unicode. Rename one of them"


class Archive:
    """An open archive. Files in `__MACOSX/` and files `._*` and `.DS_Store`, which a Mac adds, are left out."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = _leave_out_litter(items)
        self._met: dict[str, Item] = {}

    def list_members(self) -> list[Member]:
        """All files, in the order of the archive. To be called once, before anything is read.

        Raises `ArchiveError` if the archive as a whole cannot be read.
        """
        with refusing():
            members = [self._meet(item) for item in self._items]
        names = Counter(_fold(member.name) for member in members)
        folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
        twins = {name for name, count in names.items() if count > 1} | (names.keys() & folders)
        return [replace(each, fault=each.fault or (_TWIN if _fold(each.name) in twins else "")) for each in members]

    def read(self, name: str) -> Iterator[bytes]:
        """The content of a file, in chunks. Compressed tar archives are fast if files are read in their order.

        Raises `ArchiveError` for a file that cannot be read, and `FileNotFoundError`.
        """
        with refusing():
            while name not in self._met and (item := next(self._items, None)) is not None:
                self._meet(item)
            if name not in self._met:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            yield from _read_counted(self._met[name])

    def _meet(self, item: Item) -> Member:
        self._met.setdefault(item.member.name, item)
        return item.member


def open_archive(file: BinaryIO) -> Archive | None:
    """The archive in an open file, told by its content; None if the file is not an archive.

    Raises `ArchiveError` if it is damaged or of another format. The file must stay open while the archive is used.
    """
    with refusing():
        items = list_items(file)
    return None if items is None else Archive(items)


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, told by its first bytes. True, too, for archives that cannot be read."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file, refusing():
            return find_stream(file) is not None
    except ArchiveError:
        return True
    except OSError:
        return False


def _read_counted(item: Item) -> Iterator[bytes]:
    if item.member.fault:
        raise ArchiveError(item.member.fault)
    opened, count = item.open(), 0
    assert opened is not None  # only links and devices have no content
    with opened as file:
        while chunk := file.read(_CHUNK):
            count += len(chunk)  # the libraries read no more than the archive states
            yield chunk
    if count != item.member.size:
        raise ArchiveError(DAMAGED)


def _leave_out_litter(items: Iterator[Item]) -> Iterator[Item]:
    for number, item in enumerate(items, 1):
        if number > MAX_MEMBERS:
            raise ArchiveError(f"has more than {MAX_MEMBERS} files. Make several archives, or unpack it")
        *folders, name = PurePosixPath(item.member.name).parts or ("",)
        if "__MACOSX" not in folders and not name.startswith("._") and name != ".DS_Store":
            yield item


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
