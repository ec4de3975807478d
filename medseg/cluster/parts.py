"""The rows of the report as partitioned Parquet: `results/part-00000.parquet` and so on."""

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medseg.atomic import open_atomically
from medseg.folder.progress import Tally
from medseg.folder.report import Row
from medseg.metrics.measurements import MEASUREMENTS
from medseg.objects.manifest import import_arrow

FOLDER = "results"
"""Subfolder of the output folder."""

_ROWS = 100_000  # of a part
_INTEGERS = ("rows", "columns", "reduction")
_NUMBERS = ("spacing_row_mm", "spacing_column_mm", "seconds", *(each.name for each in MEASUREMENTS))


def add_parts(items: Iterator[Row | Tally], folder: Path) -> Iterator[Row | Tally]:
    """The items of `report_passes`; the parts are written before the tally of each pass comes."""
    for item in items:
        if isinstance(item, Tally):
            write_parts(folder)
        yield item


def write_parts(folder: Path) -> None:
    """Write the rows of the report in `folder` as Parquet, with the same columns. Raises `StorageError`.

    Parts of an earlier report that had more rows are removed.
    """
    with (folder / "report.csv").open(newline="", encoding="utf-8-sig") as table:
        schema = import_arrow("lib").schema([(name, _choose_type(name)) for name in next(csv.reader(table))])
    number = 0
    with (folder / "report.jsonl").open(encoding="utf-8") as report:
        for number, rows in enumerate(_group(map(json.loads, report)), 1):
            with open_atomically(folder / FOLDER / f"part-{number - 1:05}.parquet") as file:
                table = import_arrow("lib").Table.from_pylist(rows, schema)
                import_arrow("parquet").write_table(table, file)
    for path in (folder / FOLDER).glob("part-*.parquet"):
        if int(path.stem.removeprefix("part-")) >= number:
            path.unlink()


def _group(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while part := list(islice(rows, _ROWS)):
        yield part


def _choose_type(name: str) -> Any:
    arrow = import_arrow("lib")
    if name in _INTEGERS or name.startswith("area_px_"):
        return arrow.int64()
    if name in _NUMBERS or name.startswith("area_mm2_"):
        return arrow.float64()
    return arrow.bool_() if name == "lossy" else arrow.string()
