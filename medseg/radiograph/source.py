"""The file under a path, opened so that a bad one costs a `RadiographError` that names it, and nothing else."""

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

from medseg.errors import RadiographError

MAX_BYTES = 1 << 31
"""A larger file is refused: four bytes for each of `image.MAX_PIXELS` pixels fit five times."""

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
"""What the format libraries have been seen to raise on damaged bytes."""

_CAUSES = {RecursionError: "nested too deep", struct.error: "struct.error", zlib.error: "zlib.error"}
"""Where the name of an error alone would say nothing."""


Source = str | os.PathLike[str] | BinaryIO
"""A path, or a regular file that is open already and stays so."""


@contextmanager
def open_source(source: Source) -> Iterator[BinaryIO]:
    """The regular file at a path, open for reading.

    Within the block the format libraries are silent, since their warnings print tag values, and every
    `RadiographError` gets the path in front. Raises `RadiographError` for what is missing, empty, too large or not a
    regular file: a FIFO or a device would never end and is not opened.
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
    """Turn what a library raises on damaged bytes, and `others`, into a `RadiographError`.

    The library's own words are left out: they may hold values of the file.
    """
    try:
        yield
    except (*BROKEN_BYTES, *others) as error:
        if isinstance(error, MemoryError):
            raise RadiographError("needs more memory than there is", "memory") from None
        raise RadiographError(f"{reason} ({_CAUSES.get(type(error), type(error).__name__)})") from None


@contextmanager
def copy_of(file: BinaryIO, suffix: str) -> Iterator[str]:
    """A plain ASCII path to a copy of `file`, alone in its folder, for a library that opens paths only.

    SimpleITK aborts on names that are not UTF-8, and a header in this copy finds no neighbour to point at.
    """
    with tempfile.TemporaryDirectory(prefix="medseg-") as folder:
        path = Path(folder) / f"picture{suffix}"
        file.seek(0)
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        yield str(path)


class InMemory(io.BytesIO):
    """Bytes with the `name` of the file that they were read from, or would be."""

    def __init__(self, content: bytes = b"", name: str | os.PathLike[str] = "") -> None:
        super().__init__(content)
        self.name = os.fspath(name)


def printable(path: str | os.PathLike[str]) -> str:
    """`path` as text that any stream can print, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _opened(source: Source) -> AbstractContextManager[BinaryIO]:
    return _open_regular(source) if isinstance(source, str | os.PathLike) else nullcontext(source)


def _open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        status = Path(path).stat()
    except ValueError:
        raise RadiographError("is not a path of this system", "unreadable") from None
    if stat.S_ISDIR(status.st_mode):
        raise RadiographError("is a folder, not a file", "not-regular")
    if not stat.S_ISREG(status.st_mode):
        raise RadiographError("is not a regular file", "not-regular")
    if status.st_size == 0:
        raise RadiographError("is empty", "empty")
    if status.st_size > MAX_BYTES:
        raise RadiographError(
            f"has {status.st_size} bytes, more than the {MAX_BYTES} that a radiograph may have", "too-large"
        )
    return Path(path).open("rb")


_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "openjpeg", "jpeg_ls", "nibabel.global")
_lock = threading.Lock()
_readers = 0
_saved: "warnings.catch_warnings[None]"


@contextmanager
def _silence() -> Iterator[None]:
    """No Python warning and no log record of the format libraries until the last of all threads has left."""
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
