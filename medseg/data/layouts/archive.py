"""A data set in an archive, as a folder."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from medseg.archive.members import NAMES, NESTED, is_archive
from medseg.archive.places import find_unpacked
from medseg.archive.unpack import unpacked
from medseg.data.case import SPLITS, Case, as_text, list_files, list_folders
from medseg.data.config import CasesConfig
from medseg.data.layouts.case_folders import find_case_folders
from medseg.data.layouts.folders import MASKS, find_folder
from medseg.data.layouts.manifest import is_manifest
from medseg.errors import ArchiveError

C = TypeVar("C", bound=CasesConfig)

_PARTS = {"images", "image", *SPLITS}
"""Names of folders of a data set, which are no folder around it."""
_TEXT = (".txt", ".md")
"""Extensions of files for people, which may lie beside the folder of the data set."""


@contextmanager
def open_data(config: C) -> Iterator[C]:
    """Yield the settings of a data set. If its root is an archive, it is unpacked until the block ends.

    The root is then the folder with the files, without folders around it; or the CSV manifest there, if there is one.
    Messages still name the archive. Raises `ArchiveError`, also for an archive of archives, and `StorageError`.
    """
    if config.root is None or not is_archive(config.root):
        yield config
        return
    with unpacked(config.root) as folder:
        yield config.model_copy(update={"root": _find_root(folder)})


def _find_root(folder: Path) -> Path:
    """The CSV manifest, or the folder of the data set, below the folders that a zip program puts around it."""
    while not _list_data(folder) and len(inner := list_folders(folder)) == 1 and not _is_part(inner[0]):
        (folder,) = inner
    files = _list_data(folder)
    if files and not list_folders(folder) and all(path.name.lower().endswith(NAMES) for path in files):
        raise ArchiveError(NESTED, as_text(files[0]))
    manifests = [path for path in list_files(folder) if path.suffix.lower() == ".csv" and is_manifest(path)]
    return manifests[0] if len(manifests) == 1 else folder


def _list_data(folder: Path) -> list[Path]:
    return [path for path in list_files(folder) if path.suffix.lower() not in _TEXT]


def _is_part(folder: Path) -> bool:
    """Whether a folder belongs to the data set: by its name, or as the only image with a folder of its own."""
    if folder.name.lower() in _PARTS:
        return True
    masks = next((found for names in MASKS if (found := find_folder(folder, names))), None)
    return masks is not None and not list_folders(masks) and bool(find_case_folders(folder.parent))


def refuse_outside(cases: Iterable[Case], root: Path) -> None:
    """Raise `ArchiveError` if `root` lies in an unpacked archive that names images or masks outside of the archive."""
    if (unpacked_into := find_unpacked(root)) is None:
        return
    named = {path: None for case in cases for path in _list_paths(case)}
    # the folder has no links, so the text of a path says where it leads
    outside = [path for path in named if not Path(os.path.abspath(path)).is_relative_to(unpacked_into)]  # noqa: PTH100
    if outside:
        folder = root if root.is_dir() else root.parent
        more = f" (The archive names {len(outside) - 1} more such files.)" if len(outside) > 1 else ""
        written = as_text(str(outside[0]).removeprefix(f"{folder}/"))
        reason = f"names the file {written}, which is not in the archive. Put it into the archive, and correct its path"
        raise ArchiveError(reason + more, as_text(unpacked_into))


def _list_paths(case: Case) -> Iterator[Path]:
    yield case.image
    for own in case.masks.values():
        for source in (own, *own.others):
            yield from (source.path, *([source.image] if source.image is not None else []))
    if case.target is not None:
        yield case.target
