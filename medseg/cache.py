"""The user's cache folder: what can be made again, kept from one run to the next."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """`medseg` below XDG_CACHE_HOME, `~/.cache` or, without a home, the folder of temporary files; it may not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 (Path's raises)
    return (Path(base) if os.path.isabs(base) else Path(tempfile.gettempdir())) / "medseg"  # noqa: PTH117
