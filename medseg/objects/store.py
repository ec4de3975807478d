"""Objects of a store, by their URLs: `s3://BUCKET/KEY`, `gs://`, `az://`, or any other scheme of fsspec.

Addresses of servers and credentials come from the environment of the process. No error shows what a store answered.
"""

import errno
import hashlib
import os
import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from medseg.errors import ConfigError, RadiographError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@:]*:(?!aws[:-]|\d+/)[^@]*@|(?<=^https://)[^/@]*@|(?<=^http://)[^/@]*@")
_SECRET = re.compile(r"\?(.*&)?[^=&]*(sig|token|key|secret|password|credential)[^=&]*=.*", re.IGNORECASE | re.DOTALL)
_MARKS = ("ETag", "etag", "LastModified", "last_modified", "updated", "generation", "md5Hash", "mtime", "created")
"""Names under which the file systems of fsspec tell whether an object has changed."""


class UnreachableError(OSError):
    """A store cannot be reached, refuses the credentials, or needs a package that is not installed."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)


def is_url(text: str) -> bool:
    """Whether `text` is the URL of an object and not a path."""
    return _URL.match(text) is not None


def strip_credentials(url: str) -> str:
    """The URL without user name and password, and without a query that contains a key."""
    return _SECRET.sub("", _USER.sub("", url))


def name_store(url: str) -> str:
    """The part of a URL that names the store: scheme and bucket."""
    scheme, _, rest = strip_credentials(url).partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def check_url(url: str) -> str:
    """The URL of a folder in a store, without a slash at its end.

    Raises `ConfigError` if it is none, if it has credentials, or if a package for its scheme is not installed.
    """
    if not is_url(url):
        raise ConfigError(f"folder.results: {url}: is not a URL. Write one such as s3://BUCKET/PREFIX")
    if strip_credentials(url) != url:
        raise ConfigError(
            f"folder.results: {strip_credentials(url)}: has credentials. Remove them, and set them in the environment"
        )
    try:
        _connect(url)
    except OSError as error:
        raise ConfigError(f"folder.results: {url}: {error.strerror}") from None
    return url.rstrip("/")


def fingerprint_object(url: str) -> tuple[int, ...]:
    """Size in bytes, and a hash of the values that change with the content.

    Raises `OSError`, and `RadiographError` for a folder.
    """
    info = _ask(url, "info")
    if info["type"] != "file":
        raise RadiographError("is not a regular file", "not-regular")
    marks = repr([(name, str(info[name])) for name in _MARKS if name in info])
    return int(info["size"]), int.from_bytes(hashlib.sha256(marks.encode()).digest()[:6])


def read_object(url: str) -> bytes:
    """The content of an object. Raises `OSError`."""
    return bytes(_ask(url, "cat_file"))


def write_object(url: str, file: Path) -> None:
    """Write a file as an object, whole or not at all. Raises `OSError`."""
    _ask(url, "pipe_file", file.read_bytes())


def remove_object(url: str) -> None:
    """Remove an object if it exists. Raises `OSError`."""
    with suppress(FileNotFoundError):
        _ask(url, "rm_file")


def _ask(url: str, method: str, *arguments: object) -> Any:
    """Call a method of the file system of a URL. Errors of libraries become `OSError`."""
    system, path = _connect(url)
    try:
        return getattr(system, method)(path, *arguments)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    except PermissionError:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
    except Exception as error:  # each store has its own exceptions, whose messages may contain addresses
        raise UnreachableError(f"the object store cannot be reached or used ({type(error).__name__})") from None


def _connect(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path of the object in it. Raises `OSError`."""
    try:
        connected: tuple[Any, str] = import_module("fsspec.core").url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        scheme = url.partition(":")[0]
        extra = ". pip install 'medseg[s3]'" if scheme in ("s3", "s3a") else f". {error.msg}"
        raise UnreachableError(f"the package for {scheme}:// is not installed{extra}") from None
    except ValueError:
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT)) from None
    return connected
