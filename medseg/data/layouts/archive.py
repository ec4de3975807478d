"""A data set in an archive, as a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from medseg.archive.members import is_archive
from medseg.archive.unpack import unpacked
from medseg.data.case import SPLITS, list_files, list_folders
from medseg.data.config import CasesConfig
from medseg.data.layouts.manifest import is_manifest

C = TypeVar("C", bound=CasesConfig)

_PARTS = {"images", "image", *SPLITS}
"""Names of folders of a data set, which are no folder around it."""


@contextmanager
def open_data(config: C) -> Iterator[C]:
    """Yield the settings of a data set. If its root is an archive, it is unpacked until the block ends.

    The root is then the folder with the files, without folders around it; or the CSV manifest there, if there is one.
    Messages still name the archive. Raises `ArchiveError` and `StorageError`.
    """
    if config.root is None or not is_archive(config.root):
        yield config
        return
    with unpacked(config.root) as folder:
        yield config.model_copy(update={"root": _find_root(folder)})


def _find_root(folder: Path) -> Path:
    """The CSV manifest, or the folder of the data set, below the folders that a zip program puts around it."""
    while not list_files(folder) and len(inner := list_folders(folder)) == 1 and inner[0].name.lower() not in _PARTS:
        (folder,) = inner
    manifests = [path for path in list_files(folder) if path.suffix.lower() == ".csv" and is_manifest(path)]
    return manifests[0] if len(manifests) == 1 else folder
