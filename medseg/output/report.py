"""The report of a run: one row for each file, as `report.csv` for spreadsheets and `report.jsonl` for programs."""

import csv
import filecmp
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from medseg.atomic import open_atomically
from medseg.errors import StorageError
from medseg.metrics.measurements import MEASUREMENTS

Plain = str | int | float | bool | None
Cell = Plain | Sequence[str]

_COLUMNS = (
    "path",
    "id",
    "status",
    "reason",
    "warnings",
    "model",
    "kind",
    "modality",
    "body_part",
    "view",
    "sop_class",
    "rows",
    "columns",
    "spacing_row_mm",
    "spacing_column_mm",
    "spacing_source",
    "lossy",
)
_UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
SHARD_COLUMNS = ("shard", "position")
"""The last columns of the report of a shard: which one, and the place of the row among those of all shards."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORMULA = re.compile(r"""(^|;)([\s"'`]*)([=+\-@\uff1d\uff0b\uff0d\uff20])""")
"""Characters that start a formula in spreadsheets: at the start of a cell, and after `;`, which separates cells if the
comma is the decimal sign. Some programs ignore blanks and quotes before them; others accept full-width signs."""
_HARMLESS = re.compile(r"[ !-*,./0-9:-<>?A-Z\[-~]*")
"""Text that both tables show as it is: printable ASCII without the characters that may start a formula."""
_ENDANGERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f%\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\udc80-\udcff]"
)
"""Characters that end a line, change the writing direction or cannot be shown. Bytes that are not UTF-8 are
`\\udcXX`."""


def name_columns(classes: Sequence[str], uids: bool, reduction: bool = False, sharded: bool = False) -> tuple[str, ...]:
    """The columns of a report for `classes`. With `uids`, it has the UIDs that identify the source image.

    With `reduction`, it says at which resolution each image was decoded; with `sharded`, which shard it is.
    """
    areas = [f"area_{unit}_{name}" for unit in ("px", "mm2") for name in classes]
    numbers = (*areas, *(each.name for each in MEASUREMENTS), "seconds")
    last = (*(_UIDS if uids else ()), *(SHARD_COLUMNS if sharded else ()))
    return (*_COLUMNS, *(("reduction",) if reduction else ()), *numbers, *last)


def encode_path(path: bytes) -> str:
    """`path` as readable text in one line of UTF-8. `urllib.parse.unquote_to_bytes` restores the bytes.

    Only characters that endanger a table are percent-encoded: `%`, control characters, line ends, marks of the writing
    direction, bytes that are not UTF-8, and `=`, `+`, `-`, `@` if a spreadsheet may see a formula.
    """
    text = _ENDANGERS.sub(lambda found: _percent(found[0]), path.decode("utf-8", "surrogateescape"))
    return _FORMULA.sub(lambda found: f"{found[1]}{found[2]}{_percent(found[3])}", text)


def hash_path(path: bytes) -> str:
    """16 hex digits of the SHA-256 of `path`, used instead of the path if file names contain patient names."""
    return hashlib.sha256(path).hexdigest()[:16]


class Report:
    """Two tables that are written row by row. They appear complete when the block ends without an error.

    An existing table with the same bytes is not touched.
    """

    changed: bool = False
    """Whether a table was replaced when the block ended."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder = folder
        self._columns = tuple(columns)

    def __enter__(self) -> Self:
        """Open both tables. Raises `StorageError`."""
        with ExitStack() as dropping:
            self._csv = _Table(self._folder / "report.csv")
            dropping.callback(self._csv.drop)
            self._jsonl = _Table(self._folder / "report.jsonl")
            dropping.callback(self._jsonl.drop)
            self._rows = csv.writer(self._csv, lineterminator="\n")
            self._rows.writerow(self._columns)
            self._dropping = dropping.pop_all()
        return self

    def write(self, row: Mapping[str, Cell]) -> Mapping[str, Cell]:
        """Add a row, and return it with all columns. Missing columns are None. Texts in one cell are joined by `;`.

        Text becomes one line of ASCII that no spreadsheet takes for a formula. `path` must be encoded or hashed and is
        not changed. Raises `StorageError`, and `KeyError` for an unknown column.
        """
        if unknown := row.keys() - set(self._columns):
            raise KeyError(f"not a column of the report: {', '.join(sorted(unknown))}")
        cells = {name: _normalize(name, row.get(name)) for name in self._columns}
        self.copy(cells)
        return cells

    def copy(self, cells: Mapping[str, Plain]) -> None:
        """Add a row of another report, with the same columns. Raises `StorageError`."""
        self._rows.writerow([_format(cell) for cell in cells.values()])
        self._jsonl.write(json.dumps(cells, allow_nan=False, ensure_ascii=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._dropping:
            if kind is None:
                self._csv.flush()
                self._jsonl.flush()  # both files are on disk before the first one is replaced
                self.changed = self._csv.finish() | self._jsonl.finish()


class _Table:
    """One file that is written whole or not at all. Errors elsewhere are not reported as errors of this file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = open_atomically(path)
        self._file = self._opened.__enter__()
        self._is_open = True

    def write(self, text: str) -> None:
        with self._naming():
            self._file.write(text.encode())

    def flush(self) -> None:
        with self._naming():
            self._file.flush()
            os.fsync(self._file.fileno())

    def finish(self) -> bool:
        """Replace the existing file unless it has the same content, and return whether it was replaced."""
        with self._naming():
            if self._path.is_file() and filecmp.cmp(self._file.name, self._path, shallow=False):
                return False
        self._is_open = False
        self._opened.__exit__(None, None, None)
        return True

    def drop(self) -> None:
        """Remove the unfinished file."""
        if self._is_open:
            self._is_open = False
            with suppress(StorageError):  # the rest of the buffer may not be writable
                self._opened.__exit__(_Dropped, _Dropped(), None)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"{self._path}: could not be written: {error.strerror or error}") from error


class _Dropped(Exception):  # noqa: N818
    """Tells `open_atomically` to discard the file."""


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def _normalize(name: str, cell: Cell) -> Plain:
    """The value of the column `name` as both tables show it."""
    if cell is None or isinstance(cell, int) or (name == "path" and isinstance(cell, str)):
        return cell
    if isinstance(cell, float):
        return float(f"{cell:.10g}") if math.isfinite(cell) else None
    text = cell if isinstance(cell, str) else ";".join(part.replace(";", ",") for part in cell)
    if _HARMLESS.fullmatch(text):
        return text or None
    text = _CONTROL.sub(" ", text).encode("ascii", "backslashreplace").decode()
    return _FORMULA.sub(r"\1'\2\3", text) or None


def _format(cell: Plain) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"{cell:.10g}" if isinstance(cell, float) else str(cell)
