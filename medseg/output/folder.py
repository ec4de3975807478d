"""The folder of a command's results, for one process at a time."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from medseg.errors import OutputBusyError, StorageError


@contextmanager
def claim_folder(folder: Path) -> Iterator[Path]:
    """`folder`, made if new, which no other process can claim until the block ends or this process dies.

    Raises `OutputBusyError` where another process has it, `StorageError` where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OutputBusyError(f"{folder}: another process writes into this folder; give another output.dir") from error
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        lock.release()


def set_aside(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Move what an earlier run left under `names` to `folder/earlier`, which is returned; None if nothing was there."""
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        return None
    earlier = folder / "earlier"
    earlier.mkdir(exist_ok=True)
    for path in found:
        if (earlier / path.name).is_dir():
            shutil.rmtree(earlier / path.name)
        path.replace(earlier / path.name)
    return earlier
