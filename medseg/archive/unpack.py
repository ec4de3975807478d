"""A private folder with the files of an archive, for as long as a block lasts."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock, FileLock, Timeout

from medseg.archive.formats import Member
from medseg.archive.members import Archive, open_archive
from medseg.archive.places import placed
from medseg.errors import ArchiveError, StorageError

PREFIX = "medseg-unpacked-"
"""Start of the names of the folders, which lie in the folder for temporary files (TMPDIR)."""

_LOCK = ".medseg.lock"
_FILES = "files"  # the folder beside the lock: an archive may have the name of the lock
_RESERVE = 1 << 30  # bytes that stay free
_ATTEMPTS = 10


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack an archive into a folder that only this user can open. The folder is removed at the end of the block.

    Folders of processes that were killed are removed first. In messages, `show_archives` puts the name of the archive
    in place of the folder. Raises `ArchiveError` with the archive and the file in it, before anything is unpacked if
    possible; `StorageError` if the disk is too small.
    """
    with private_folder() as private:
        folder = private / _FILES / (path.name or "archive")
        with placed(folder, path):
            folder.parent.mkdir(mode=0o700)
            folder.mkdir(mode=0o700)
            _unpack(path, folder)
            yield folder


def _unpack(path: Path, folder: Path) -> None:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"cannot be read ({error.strerror})", _as_text(path)) from error
    with file:
        archive, members = _list_members(path, file)
        _check_space(path, folder, sum(member.size for member in members))
        for member in members:
            try:
                _write(folder / member.name, archive.read(member.name))
            except ArchiveError as error:
                raise ArchiveError(error.reason, _as_text(path / member.name)) from None
            except OSError as error:
                reason = f"could not be unpacked into {folder.parents[1]}: {error.strerror or error}"
                raise StorageError(f"{_as_text(path / member.name)}: {reason}") from error


def _list_members(path: Path, file: BinaryIO) -> tuple[Archive, list[Member]]:
    try:
        archive = open_archive(file)
        if archive is None:
            raise ArchiveError("is not a zip or tar archive")
        members = archive.list_members()
    except ArchiveError as error:
        raise ArchiveError(error.reason, _as_text(path)) from None
    except OSError as error:
        raise ArchiveError(f"cannot be read ({error.strerror})", _as_text(path)) from error
    faulty = [member for member in members if member.fault]
    if faulty:
        more = f" (The archive has {len(faulty) - 1} more such files.)" if len(faulty) > 1 else ""
        raise ArchiveError(faulty[0].fault + more, _as_text(f"{path}/{faulty[0].name}"))
    return archive, members


def _check_space(path: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + _RESERVE > free:
        raise StorageError(
            f"{_as_text(path)}: unpacks to {size / 2**30:.1f} GiB, and 1 GiB must stay free, but "
            f"{folder.parents[2]} has only {free / 2**30:.1f} GiB. Free disk space, or set "
            "the variable TMPDIR to another folder"
        )


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a new file. An existing one, or a link, is never followed or replaced."""
    for folder in reversed(path.parents):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
        for chunk in chunks:
            file.write(chunk)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that only this user can open, removed at the end of the block.

    A lock in it tells other processes that it is in use. Folders of processes that were killed are removed first.
    """
    place = Path(tempfile.gettempdir()).resolve()
    for unused in place.glob(f"{PREFIX}*"):
        _remove_unused(unused)
    folder, lock = _create_locked()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _create_locked() -> tuple[Path, BaseFileLock]:
    for _ in range(_ATTEMPTS):  # another process may take the folder for unused before it is locked
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        except OSError as error:
            raise StorageError(
                f"{tempfile.gettempdir()}: no folder could be created: {error.strerror or error}. Set the variable "
                "TMPDIR to another folder"
            ) from error
        lock = FileLock(folder / _LOCK, timeout=0)
        with suppress(OSError, Timeout):
            lock.acquire()
            if (folder / _LOCK).exists():
                return folder, lock
            lock.release()
    raise StorageError(f"{tempfile.gettempdir()}: a folder for unpacking could not be locked. Set the variable TMPDIR")


def _remove_unused(folder: Path) -> None:
    """Remove a folder that a killed process of this user has left."""
    with suppress(OSError, Timeout):
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            return
        with FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


def _as_text(path: object) -> str:
    return os.fsencode(str(path)).decode("utf-8", "backslashreplace")
