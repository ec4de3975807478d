"""Files that are written whole or not at all: temporary file, fsync, rename, fsync of the folder."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from medseg.errors import StorageError


@contextmanager
def open_atomically(path: Path, keep_previous: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only when the block ends without an error.

    A file that stood there stays whole until it is replaced; with `keep_previous` it goes on under that name.
    Raises `StorageError` naming `path` where the disk is full or the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                if keep_previous is not None and path.exists():
                    _keep(path, keep_previous)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: could not be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all. Raises `StorageError`."""
    with open_atomically(path) as file:
        file.write(text.encode())


def _keep(path: Path, previous: Path) -> None:
    """Give the file at `path` the second name `previous`, so that neither name is ever without a whole file."""
    link = previous.with_name(f".{previous.name}.link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        os.replace(path, previous)
    else:
        os.replace(link, previous)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
