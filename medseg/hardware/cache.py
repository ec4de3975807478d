"""The user's cache folder: what can be made again, kept from one run to the next."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """`medseg` below XDG_CACHE_HOME or `~/.cache`, which may not exist; without a home, a temporary one.

    That one is the user's alone, since what is kept there is code.
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
