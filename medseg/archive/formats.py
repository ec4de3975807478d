"""The formats of archives, zip and tar: what is in a file, and what is wrong with it.

Nothing that an archive states is trusted: the number of files, their sizes and the ratio of the compression are limited
before anything is unpacked, and bytes are counted while they are read.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from medseg.errors import ArchiveError

MAX_MEMBER_BYTES = 1 << 31
"""Largest file in an archive, as for every image file."""
MAX_RATIO = 100
"""Largest ratio of the unpacked size to the size of the archive, for archives with more than `FREE_BYTES` unpacked."""
FREE_BYTES = 1 << 30
"""Unpacked size up to which the ratio does not count. Blank masks without compression shrink to a thousandth."""

_BUFFER = 1 << 20  # more than is read at once: a small step back must not start the decompression again
_MAX_READ = 1 << 27
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_STREAMS: dict[bytes, Callable[[BinaryIO], object]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_METHOD_NAMES = {9: "Deflate64", 93: "Zstandard", 95: "xz", 98: "PPMd"}
_TYPES = {
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFCHR: "is a character device",
    stat.S_IFBLK: "is a block device",
    stat.S_IFIFO: "is a FIFO",
    stat.S_IFSOCK: "is a socket",
}
_TAR_TYPES = {
    tarfile.SYMTYPE: "is a symbolic link",
    tarfile.LNKTYPE: "is a hard link",
    tarfile.CHRTYPE: "is a character device",
    tarfile.BLKTYPE: "is a block device",
    tarfile.FIFOTYPE: "is a FIFO",
    b"M": "is split over several archives",
}
DAMAGED = "is damaged or incomplete. Make or copy it again"
_PLAIN = "Make the archive again with a common program, such as zip or tar"


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    """Path in the archive, with `/` between parts and without parts `.`; as the archive has it if it is unsafe."""
    size: int
    """Unpacked size in bytes, as the archive states it."""
    fault: str = ""
    """The reason why the file must not be read, without any name; empty if it may be read."""


@dataclass(frozen=True)
class Item:
    """A file in an archive, and how it is opened; devices and links cannot be opened."""

    member: Member
    open: Callable[[], IO[bytes] | None]


def list_items(file: BinaryIO) -> Iterator[Item] | None:
    """The files in an archive, which is told by its content; None if the file is not an archive."""
    size, stream = os.fstat(file.fileno()).st_size, find_stream(file)
    if stream is None:
        return None
    bounded, limit = cast("IO[bytes]", _Bounded(stream)), max(FREE_BYTES, MAX_RATIO * size)
    if stream is file and file.read(4) in _ZIP:
        return _list_zip(zipfile.ZipFile(bounded), size, limit)
    stream.seek(0)
    return _list_tar(tarfile.TarFile(fileobj=bounded, encoding="utf-8", errors="surrogateescape"), limit)


def find_stream(file: BinaryIO) -> BinaryIO | None:
    """The file if it is a zip or a tar, the decompressed stream if that is a tar, or None. It is at its start."""
    head = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise ArchiveError(f"is compressed as {name}, which medseg does not read. Pack it as .zip or .tar.gz")
    if head.startswith(_ZIP):
        return file
    stream = file
    for magic, decompress in _STREAMS.items():
        if head.startswith(magic):
            stream = cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", decompress(file)), _BUFFER))
            head = stream.read(tarfile.BLOCKSIZE)
            stream.seek(0)
            break
    with suppress(tarfile.HeaderError):  # a checksum over the first block proves a tar
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        return stream
    return None


def _list_zip(opened: zipfile.ZipFile, size: int, limit: int) -> Iterator[Item]:
    infos = opened.infolist()
    if sum(info.compress_size for info in infos) > size:  # members that share bytes: a bomb
        raise ArchiveError(DAMAGED)
    _check_total(sum(info.file_size for info in infos), limit)
    for info in infos:
        name = _decode_name(info)
        if not name.endswith("/"):
            yield _describe(name, info.file_size, _judge_zip(info), partial(opened.open, info))


def _decode_name(info: zipfile.ZipInfo) -> str:
    """The name of a file in a zip: UTF-8, which a Mac writes without its flag, else code page 437."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _list_tar(opened: tarfile.TarFile, limit: int) -> Iterator[Item]:
    before = -1
    for info in opened:
        if info.size < 0 or info.offset <= before:  # a loop
            raise ArchiveError(DAMAGED)
        before = info.offset
        _check_total(info.offset_data + info.size, limit)
        if not info.isdir():
            fault = _TAR_TYPES.get(info.type, "" if info.isreg() else "is not a regular file")
            fault = "is a sparse file" if info.issparse() else fault
            fault = f"{fault}. Leave it out, or put a copy of the file in its place" if fault else ""
            yield _describe(info.name, info.size, fault, partial(opened.extractfile, info))
    stream = cast("BinaryIO", opened.fileobj)
    stream.seek(opened.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile ends at any block that it cannot read
        raise ArchiveError(DAMAGED)


def _judge_zip(info: zipfile.ZipInfo) -> str:
    """The fault that the directory of a zip states of a file."""
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    if kind not in (0, stat.S_IFREG):
        return f"{_TYPES.get(kind, 'is not a regular file')}. Leave it out, or put a copy of the file in its place"
    if info.flag_bits & 1:
        return "is encrypted. Make an archive without a password"
    if info.volume not in (0, 0xFFFF):
        return "is split over several files. Make an archive of one file"
    if info.compress_type not in _METHODS:
        method = _METHOD_NAMES.get(info.compress_type, f"method {info.compress_type}")
        return f"is compressed with {method}, which medseg does not read. Compress it with Deflate, as zip does"
    return ""


def _describe(name: str, size: int, fault: str, open_it: Callable[[], IO[bytes] | None]) -> Item:
    """A file with its normalized name and its fault."""
    path = PurePosixPath(name)
    if "\\" in name:
        return Item(Member(name, size, f"has a backslash in its name. {_PLAIN}"), open_it)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name or re.match("[A-Za-z]:", name):
        return Item(Member(name, size, f"has a name that leads out of the archive. {_PLAIN}"), open_it)
    if not fault and size > MAX_MEMBER_BYTES:
        fault = f"has {size} bytes; the limit is {MAX_MEMBER_BYTES} bytes"
    return Item(Member(str(path), size, fault), open_it)


def _check_total(size: int, limit: int) -> None:
    if size > limit:
        raise ArchiveError(
            f"would unpack to more than {limit / 2**30:.1f} GiB, over {MAX_RATIO} times its size. If that is right, "
            "unpack it yourself"
        )


class _Bounded:
    """A file of which no header can make a library read a great part at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_READ:
            raise ArchiveError(DAMAGED)
        return self._file.read(_MAX_READ if size < 0 else size)


_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    ValueError,
)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn the exceptions of the libraries for damaged archives into `ArchiveError`, without their messages."""
    try:
        yield
    except _BROKEN:
        raise ArchiveError(DAMAGED) from None
    except OSError as error:
        if error.errno is not None:  # of the system, not of a library
            raise
        raise ArchiveError(DAMAGED) from None
