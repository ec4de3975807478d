"""Where archives are unpacked, so that messages can name the archive. Apart, so that readers of images start fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_places: dict[str, str] = {}  # unpacked folder -> archive


@contextmanager
def placed(folder: Path, archive: Path) -> Iterator[None]:
    """The block in which `folder` has the files of `archive`."""
    _places[str(folder)] = str(archive)
    try:
        yield
    finally:
        del _places[str(folder)]


def show_archives(text: str) -> str:
    """`text` with the names of archives in place of the folders into which they are unpacked."""
    for folder, archive in _places.items():
        text = text.replace(folder, archive)
    return text


def find_unpacked(path: Path) -> Path | None:
    """The folder with the files of an archive in which `path` lies; None if it does not lie in an unpacked archive."""
    return next((Path(folder) for folder in _places if path.is_relative_to(folder)), None)
