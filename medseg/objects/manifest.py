"""Manifests: CSV or Parquet tables with a column `path`, a path or URL in each row."""

import csv
import errno
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from medseg.errors import ConfigError, DataError
from medseg.inference.config import MANIFESTS

COLUMN = "path"
_ROWS = 10_000  # of a Parquet file in memory


def check_manifest(manifest: Path) -> None:
    """Raise `DataError` if a manifest cannot be read or has no column `path`."""
    next(read_paths(manifest), None)


def read_paths(manifest: Path) -> Iterator[str]:
    """The paths of a manifest in the order of its rows; empty for a row without one. Raises `DataError`."""
    try:
        yield from (_read_parquet if manifest.suffix.lower() == MANIFESTS[1] else _read_csv)(manifest)
    except OSError as error:
        raise DataError(f"{manifest}: cannot be read ({error.strerror or os.strerror(errno.EIO)})") from error


def _read_csv(manifest: Path) -> Iterator[str]:
    with manifest.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.reader(file)
        try:
            place = _find_column(manifest, next(rows, []))
            yield from (row[place] if len(row) > place else "" for row in rows if row)
        except csv.Error as error:
            raise DataError(f"{manifest}: line {rows.line_num} is not CSV: {error}. Correct this line") from error


def _read_parquet(manifest: Path) -> Iterator[str]:
    arrow = import_arrow("parquet")
    try:
        with arrow.ParquetFile(manifest) as file:
            _find_column(manifest, file.schema_arrow.names)
            if str(found := file.schema_arrow.field(COLUMN).type) not in ("string", "large_string", "string_view"):
                raise DataError(f"{manifest}: the column {COLUMN} has the type {found}. Store the paths as text")
            for batch in file.iter_batches(_ROWS, columns=[COLUMN]):
                yield from (path or "" for path in batch.column(0).to_pylist())
    except import_arrow("lib").ArrowInvalid as error:
        raise DataError(f"{manifest}: is not a Parquet file, or is damaged. Write it again, or use CSV") from error


def import_arrow(module: str) -> Any:
    """A module of pyarrow. Raises `ConfigError` if it is not installed."""
    try:
        return import_module(f"pyarrow.{module}")
    except ImportError as error:
        raise ConfigError("Parquet files need pyarrow. Install it with pip install 'medseg[ray]'") from error


def _find_column(manifest: Path, names: list[str]) -> int:
    if COLUMN not in names:
        found = ", ".join(names[:10]) or "none"
        raise DataError(f"{manifest}: has no column {COLUMN}, only {found}. Rename the column of the paths to {COLUMN}")
    return names.index(COLUMN)
