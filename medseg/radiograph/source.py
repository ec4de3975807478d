"""Opening of input files so that every problem becomes a `RadiographError` that names the file."""

import io
import logging
import os
import shutil
import stat
import struct
import tempfile
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from medseg.archive.places import show_archives
from medseg.errors import RadiographError

MAX_BYTES = 1 << 31
"""Larger files are rejected. The limit is five times `image.MAX_PIXELS` pixels of four bytes."""

BROKEN_BYTES: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Exceptions that the format libraries raise for damaged files."""

_CAUSES = {RecursionError: "nested too deeply", struct.error: "struct.error", zlib.error: "zlib.error"}
"""Clearer texts for some exception names."""


Source = str | os.PathLike[str] | BinaryIO
"""A path, or an open regular file, which is not closed."""


@contextmanager
def open_source(source: Source) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Inside the block, warnings of the format libraries are silenced, since they may print tag values, and the path is
    put before the message of every `RadiographError`. Raises `RadiographError` if the file is missing, empty, too large
    or not regular; FIFOs and devices are never opened, since they may have no end.
    """
    path = source if isinstance(source, str | os.PathLike) else source.name
    try:
        with _silence(), _opened(source) as file:
            yield file
    except RadiographError as error:
        raise RadiographError(error.reason, error.code, printable(path)) from None
    except OSError as error:
        reason = f"cannot be read ({error.strerror or type(error).__name__})"
        raise RadiographError(reason, "unreadable", printable(path)) from None


@contextmanager
def refusing(reason: str, *others: type[Exception]) -> Iterator[None]:
    """Turn the exceptions of a library for damaged files, and `others`, into a `RadiographError`.

    The message of the library is left out, since it may contain values of the file.
    """
    try:
        yield
    except (*BROKEN_BYTES, *others) as error:
        if isinstance(error, MemoryError):
            raise RadiographError("needs more memory than is available", "memory") from None
        raise RadiographError(f"{reason} ({_CAUSES.get(type(error), type(error).__name__)})") from None


@contextmanager
def copy_of(file: BinaryIO, suffix: str) -> Iterator[str]:
    """Copy `file` to an ASCII path in its own folder, for a library that opens only paths.

    SimpleITK aborts on names that are not UTF-8. In its own folder, a header cannot refer to another file.
    """
    with tempfile.TemporaryDirectory(prefix="medseg-") as folder:
        path = Path(folder) / f"picture{suffix}"
        file.seek(0)
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        yield str(path)


class InMemory(io.BytesIO):
    """Bytes of a file in memory, with its `name`."""

    def __init__(self, content: bytes = b"", name: str | os.PathLike[str] = "") -> None:
        super().__init__(content)
        self.name = os.fspath(name)


def printable(path: str | os.PathLike[str]) -> str:
    """Return `path` as text that any stream can print, whatever bytes it contains.

    A path into an unpacked archive is shown as a path in the archive.
    """
    return os.fsencode(show_archives(os.fsdecode(path))).decode("utf-8", "backslashreplace")


def _opened(source: Source) -> AbstractContextManager[BinaryIO]:
    return _open_regular(source) if isinstance(source, str | os.PathLike) else nullcontext(source)


def _open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        status = Path(path).stat()
    except ValueError:
        raise RadiographError("is not a valid path on this system", "unreadable") from None
    if stat.S_ISDIR(status.st_mode):
        raise RadiographError("is a folder, not a file", "not-regular")
    if not stat.S_ISREG(status.st_mode):
        raise RadiographError("is not a regular file", "not-regular")
    if status.st_size == 0:
        raise RadiographError("is empty", "empty")
    if status.st_size > MAX_BYTES:
        raise RadiographError(f"has {status.st_size} bytes; the limit is {MAX_BYTES} bytes", "too-large")
    return Path(path).open("rb")


_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "openjpeg", "jpeg_ls", "nibabel.global")
_lock = threading.Lock()
_readers = 0
_saved: "warnings.catch_warnings[None]"


@contextmanager
def _silence() -> Iterator[None]:
    """Silence Python warnings and format library logs until the last thread has left the block."""
    global _readers, _saved
    with _lock:
        _readers += 1
        if _readers == 1:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
            _switch_loggers(off=True)
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _switch_loggers(off=False)
                _saved.__exit__(None, None, None)


def _switch_loggers(off: bool) -> None:
    for name in _LOGGERS:
        logging.getLogger(name).disabled = off
