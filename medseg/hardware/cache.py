"""The user's cache folder, for data that speeds up later runs and can be made again."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """The folder `medseg` below XDG_CACHE_HOME or `~/.cache`; it may not exist. Without a home: a temporary folder.

    Only the user can write into the temporary folder, because the cache contains code.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 (Path's raises)
    if os.path.isabs(base):  # noqa: PTH117
        return Path(base) / "medseg"
    folder = Path(tempfile.gettempdir()) / f"medseg-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if private else Path(tempfile.mkdtemp(prefix="medseg-"))
