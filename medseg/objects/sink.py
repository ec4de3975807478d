"""A place for results in an object store."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import StorageError
from medseg.objects.store import fingerprint_object, read_object, remove_object, write_object
from medseg.receipt.digests import digest_file


@dataclass(frozen=True)
class ObjectSink:
    """Results as objects below a URL. A result is written as a temporary file, and then becomes an object at once."""

    url: str
    """Without a slash at its end."""
    threads = 32

    def path(self, name: str) -> Path:
        """The path of the temporary file. Its folder is removed with the worker process."""
        return Path(tempfile.gettempdir()) / "results" / name

    def store(self, name: str) -> tuple[int, str]:
        """Make the temporary file an object: its size and SHA-256. Raises `StorageError`."""
        path = self.path(name)
        size, digest = path.stat().st_size, digest_file(path)
        with self._naming(name, "written"):
            write_object(self._locate(name), path)
        path.unlink()
        return size, digest

    def size(self, name: str) -> int:
        """Size of an object in bytes; -1 if it does not exist. Raises `StorageError` if the store does not answer."""
        try:
            with self._naming(name, "found"):
                return fingerprint_object(self._locate(name))[0]
        except FileNotFoundError:
            return -1

    def digest(self, name: str) -> str:
        """SHA-256 of an object; empty if it does not exist. Raises `StorageError` if the store does not answer."""
        try:
            with self._naming(name, "read"):
                return hashlib.sha256(read_object(self._locate(name))).hexdigest()
        except FileNotFoundError:
            return ""

    def remove(self, name: str) -> None:
        """Remove an object if it exists. Raises `StorageError`."""
        with self._naming(name, "removed"):
            remove_object(self._locate(name))

    def sweep(self, name: str) -> None:
        """Do nothing: an object is whole, and a temporary file is removed with its worker process."""

    def _locate(self, name: str) -> str:
        return f"{self.url}/{name}"

    @contextmanager
    def _naming(self, name: str, done: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            if done == "written":
                raise StorageError(
                    f"{self._locate(name)}: could not be written: no such bucket. Create the bucket, or correct "
                    "folder.results"
                ) from None
            raise
        except OSError as error:
            raise StorageError(
                f"{self._locate(name)}: could not be {done}: {error.strerror}. Check the network and the credentials "
                "in the environment. Run the same command again to resume"
            ) from None
