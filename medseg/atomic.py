"""Writing of files whole or not at all: temporary file, fsync, rename, fsync of the folder."""

import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from medseg.errors import StorageError


@contextmanager
def open_atomically(path: Path, keep_previous: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary file that appears at `path` only if the block ends without an error.

    An existing file stays complete until it is replaced. With `keep_previous` it is kept under that name. Raises
    `StorageError` with `path` if the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    raw: _Watched | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            raw = _Watched(temporary, "x")
            with io.BufferedWriter(raw) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if keep_previous is not None and path.exists():
                _keep(path, keep_previous)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        failed = error if isinstance(error, OSError) else raw.error if raw else None
        if failed is None:
            raise
        raise StorageError(f"{path}: could not be written: {failed.strerror or failed}") from error


class _Watched(io.FileIO):
    """A file that remembers why it could not be written, because `torch.save` raises its own RuntimeError instead."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all. Raises `StorageError`."""
    with open_atomically(path) as file:
        file.write(text.encode())


def link_or_copy(source: Path, target: Path) -> None:
    """Give the file `source` the second name `target`; a copy of it, if the file system has no such link.

    `source` must not be changed in place later. Raises `StorageError`.
    """
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
        return
    if target.exists() and target.samefile(source):
        return
    with open_atomically(target) as copy, source.open("rb") as file:
        shutil.copyfileobj(file, copy)


def _keep(path: Path, previous: Path) -> None:
    """Give the file at `path` the second name `previous`. At any moment both names lead to a complete file."""
    link = previous.with_name(f".{previous.name}.link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # the file system has no hard links
        os.replace(path, previous)
    else:
        os.replace(link, previous)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
