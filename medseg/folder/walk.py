"""A walk through a folder: every file once, always in the same order, with entries for what cannot be opened."""

# ruff: noqa: PTH116, PTH118, PTH120, PTH208 -- pathlib has no paths of bytes

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from medseg.archive.members import NAMES
from medseg.errors import RadiographError
from medseg.folder.journal import JOURNAL_MARK, JOURNAL_NAME
from medseg.radiograph.kind import EXTENSIONS
from medseg.radiograph.source import MAX_BYTES

_EXTENSIONS = tuple(map(os.fsencode, EXTENSIONS))
_ARCHIVES = tuple(map(os.fsencode, NAMES))
_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)
_MISSING_TARGET = "link: its target does not exist"
_BROKEN_LINKS = {errno.ENOENT: _MISSING_TARGET, errno.ENOTDIR: _MISSING_TARGET, errno.ELOOP: "link: loops"}

_Identity = tuple[int, int]  # device and inode


@dataclass(frozen=True)
class Entry:
    """A file, or something else that cannot be opened, such as a broken link or a locked folder."""

    path: bytes
    """Path relative to the root, with `/` between parts, in the bytes of the file system; `.` for the root itself."""

    fingerprint: tuple[int, ...] | None
    """Fingerprint of the regular file that it is, links to or lies in; None if there is no such file."""

    status: str = ""
    """`rejected` or `skipped` if it must not be opened, else empty."""

    reason: str = ""
    """`code: text` if it must not be opened. The text contains no path and no name."""

    position: tuple[int, ...] = field(default=(), compare=False)
    """Place among the entries of all shards. Empty without shards."""


def fingerprint(status: os.stat_result) -> tuple[int, ...]:
    """Values that change with the content of a file: inode, size, and two times. No program can set the second time."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def open_quietly(path: bytes) -> BinaryIO:
    """Open a regular file without waiting. Refuse it if it has become a FIFO or another special file in the meantime.

    Raises `OSError`, and `RadiographError` if it is no regular file.
    """
    return open(path, "rb", opener=_open_regular)


def promises_archive(name: bytes) -> bool:
    """Whether the file name is that of a zip or tar archive."""
    return name.lower().endswith(_ARCHIVES)


def promises_image(name: bytes) -> bool:
    """Whether the file name is that of an image. Such a file is rejected, not skipped, if it is not an image."""
    return name.lower().endswith(_EXTENSIONS)


def meet_file(root: Path, path: bytes) -> Entry:
    """The entry of the file at `path`, relative to `root` or absolute. Links are followed."""
    try:
        status = os.stat(os.path.join(os.fsencode(root), path))
    except (OSError, ValueError) as error:
        return _refuse(path, error if isinstance(error, OSError) else OSError(errno.EINVAL, os.strerror(errno.EINVAL)))
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, None, "rejected", "not-regular: is a folder")
    return _judge(path, status)


def walk(root: Path, output: Path | None) -> Iterator[Entry]:
    """Everything in `root` except folders, once, depth first, with names sorted as bytes.

    A folder is an entry only if it cannot be listed. No folder is walked twice: a link to an outside folder is followed
    once; any other link to a folder is an entry. `output` and the output folders of earlier runs, which have a journal,
    are left out without an entry; but `root` itself is always walked, unless it is `output`. Two mounts of one folder
    count as two folders. Memory holds the names in the current folder and its parents, and the followed links.
    """
    walked = _Walk(os.fsencode(root), output)
    entry = walked.start()
    if entry is not None:
        yield entry
    while (path := walked.next()) is not None:
        if (entry := walked.meet(path)) is not None:
            yield entry


@dataclass(frozen=True)
class _Folder:
    path: bytes
    identity: _Identity
    names: list[bytes]  # remaining names; the last one is next


class _Walk:
    def __init__(self, root: bytes, output: Path | None) -> None:
        self._root = root
        self._input: _Identity | None = None
        self._output = _identify(output.stat()) if output is not None and output.exists() else None
        self._followed: set[_Identity] = set()  # outside folders reached through a link
        self._line: list[_Folder] = []  # from the root to the current folder

    def start(self) -> Entry | None:
        """Enter the root. Returns an entry if it cannot be listed."""
        try:
            self._input = _identify(os.stat(self._root))
            if self._input != self._output:
                self._enter(b"", self._input)
        except OSError as error:
            return _refuse(b".", error)
        return None

    def next(self) -> bytes | None:
        """The next path; None at the end."""
        while self._line and not self._line[-1].names:
            self._line.pop()
        return os.path.join(self._line[-1].path, self._line[-1].names.pop()) if self._line else None

    def meet(self, path: bytes) -> Entry | None:
        """The entry at `path`; None for a folder. A folder is entered unless it must be left out."""
        full = os.path.join(self._root, path)
        try:
            status = os.lstat(full)
            if stat.S_ISLNK(status.st_mode):
                return self._meet_link(path, full)
            if not stat.S_ISDIR(status.st_mode):
                return _judge(path, status)
            folder = _identify(status)
            if folder not in (self._input, self._output) and folder not in self._followed:
                self._enter(path, folder)
        except OSError as error:
            return _refuse(path, error)
        return None

    def _meet_link(self, path: bytes, full: bytes) -> Entry | None:
        try:
            status = os.stat(full)
        except OSError as error:
            if error.errno not in _BROKEN_LINKS:
                raise
            return Entry(path, None, "rejected", _BROKEN_LINKS[error.errno])
        if not stat.S_ISDIR(status.st_mode):
            return _judge(path, status, is_link=True)
        folder = _identify(status)
        holders = {identity for _, identity in _list_holders(os.path.dirname(full))}
        if folder in holders or any(folder == walked.identity for walked in self._line):
            return Entry(path, None, "rejected", "link: loops; it leads to a folder that contains it")
        for place, identity in _list_holders(full):
            if identity == self._input:
                return Entry(path, None, "skipped", "link: leads to a folder inside the input folder")
            if identity in self._followed:
                return Entry(path, None, "skipped", "link: leads to a folder already read through another link")
            if identity == self._output or _holds_journal(place):
                return Entry(path, None, "skipped", "link: leads to results of an earlier prediction")
        self._followed.add(folder)
        self._enter(path, folder)
        return None

    def _enter(self, path: bytes, identity: _Identity) -> None:
        full = os.path.join(self._root, path)
        names = sorted(os.listdir(full), reverse=True)
        if path and os.fsencode(JOURNAL_NAME) in names and _holds_journal(full):
            return
        self._line.append(_Folder(path, identity, names))


def _judge(path: bytes, status: os.stat_result, is_link: bool = False) -> Entry:
    """The entry of a path that is neither a folder nor a link to one. The file is not opened."""
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "not a regular file")
        return Entry(path, None, "rejected", f"link: leads to {kind}" if is_link else f"not-regular: is {kind}")
    if status.st_size > MAX_BYTES and not promises_archive(path):
        verdict = "rejected" if promises_image(path) else "skipped"
        return Entry(path, None, verdict, f"too-large: has {status.st_size} bytes")
    return Entry(path, fingerprint(status))


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RadiographError("is not a regular file", "not-regular")
    return descriptor


def _refuse(path: bytes, error: OSError) -> Entry:
    return Entry(path, None, "rejected", f"unreadable: {error.strerror or type(error).__name__}")


def _identify(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _list_holders(path: bytes) -> Iterator[tuple[bytes, _Identity]]:
    """The folder at `path` and all its parent folders, with links resolved, up to the root of the file system."""
    place = os.path.realpath(path, strict=True)
    while True:
        yield place, _identify(os.stat(place))
        if place == os.path.dirname(place):
            return
        place = os.path.dirname(place)


def _holds_journal(folder: bytes) -> bool:
    """Whether `folder` is the output folder of an earlier run."""
    journal = os.path.join(folder, os.fsencode(JOURNAL_NAME))
    try:
        if not stat.S_ISREG(os.lstat(journal).st_mode):
            return False
        descriptor = os.open(journal, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.read(descriptor, len(JOURNAL_MARK)) == JOURNAL_MARK
    finally:
        os.close(descriptor)
