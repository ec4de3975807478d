"""The output folder of a command, which only one process at a time may use."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

from filelock import FileLock, Timeout

from medseg.errors import OutputBusyError, StorageError


@contextmanager
def claim_folder(folder: Path, results: Collection[str] = ()) -> Iterator[Path]:
    """Create `folder` if needed, and lock it against other processes until the block ends or this process dies.

    At the start and at the end, unfinished files of killed processes are removed, in `folder` and in the subfolders
    that match `results`. Raises `OutputBusyError` if another process has the folder, `StorageError` if it cannot be
    created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
        _sweep(folder, results)
    except Timeout as error:
        raise OutputBusyError(
            f"{folder}: another process is writing into this folder; choose another output.dir"
        ) from error
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        with suppress(OSError):  # unfinished files do no harm
            _sweep(folder, results)
        lock.release()


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into `folder` until the block ends. A folder that is read-only needs no lock.

    Raises `OutputBusyError` if another process has the folder.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputBusyError(f"{folder}: another process is writing into this folder; wait until it ends") from error
    except OSError:
        pass
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path, results: Collection[str]) -> None:
    for place in (folder, *(found for pattern in results for found in folder.glob(pattern))):
        for unfinished in place.glob(".*.tmp"):
            if unfinished.is_dir():
                rmtree(unfinished)
            else:
                unfinished.unlink(missing_ok=True)


def set_aside(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Move the files `names` of an earlier run to a new folder `earlier/<n>` and return it; None if there were none.

    Raises `StorageError`.
    """
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        return None
    try:
        number = 1
        while (earlier := folder / "earlier" / str(number)).exists():
            number += 1
        earlier.mkdir(parents=True)
        for path in found:
            path.replace(earlier / path.name)
    except OSError as error:
        raise StorageError(f"{folder}: could not move earlier results: {error.strerror or error}") from error
    return earlier
