"""Folders of generated cases. A complete folder is not written again; an incomplete one is."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from medseg.atomic import write_text
from medseg.errors import DataError

MARKER = "generated.json"


def name_cases(prefix: str, num_cases: int) -> list[str]:
    """Return the ids `<prefix>-0000`, `<prefix>-0001`, ..."""
    return [f"{prefix}-{index:04d}" for index in range(num_cases)]


def write_generated_set(
    folder: Path, recipe: Mapping[str, str | int], files: list[Path], write_case: Callable[[int], None]
) -> Path:
    """Write exactly `files` (relative paths) with `write_case(0)`, `write_case(1)`, ... and return the folder.

    `recipe` contains the generator name (`prefix`), its version, `num_cases` and all parameters. It is written last, to
    `generated.json`: if this file is equal and no file is missing, nothing is written. Files of an earlier recipe are
    removed. A file from another source is not touched and raises `DataError`.
    """
    folder = Path(folder)
    marker = folder / MARKER
    wanted = json.dumps(dict(recipe), indent=2) + "\n"
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else set()
    if found == {*files, Path(MARKER)} and marker.read_text() == wanted:
        return folder
    ours = re.compile(rf"\.?{re.escape(str(recipe['prefix']))}-\d{{4,}}\..+|\.?{re.escape(MARKER)}.*")
    foreign = sorted(str(path) for path in found if not ours.fullmatch(path.name))
    if foreign:
        raise DataError(
            f"{folder}: contains {len(foreign)} files that this generator did not write, such as {foreign[0]}. "
            "Use an empty folder for the synthetic data set"
        )
    marker.unlink(missing_ok=True)
    for path in found - set(files) - {Path(MARKER)}:
        (folder / path).unlink()
    for index in range(int(recipe["num_cases"])):
        write_case(index)
    write_text(marker, wanted)
    return folder
