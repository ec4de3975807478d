"""The folder of a command's results, for one process at a time."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from medseg.errors import OutputBusyError, StorageError


@contextmanager
def claim_folder(folder: Path, results: Collection[str] = ()) -> Iterator[Path]:
    """`folder`, made if new, which no other process can claim until the block ends or this process dies.

    At both ends what a killed process was writing is removed, there and in the folders below that `results` match.
    Raises `OutputBusyError` where another process has it, `StorageError` where it cannot be made.
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
        with suppress(OSError):  # it does no harm
            _sweep(folder, results)
        lock.release()


def _sweep(folder: Path, results: Collection[str]) -> None:
    for place in (folder, *(found for pattern in results for found in folder.glob(pattern))):
        for unfinished in place.glob(".*.tmp"):
            unfinished.unlink(missing_ok=True)


def set_aside(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Move what an earlier run left under `names` to a new `folder/earlier/<n>`; None where there was nothing.

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
