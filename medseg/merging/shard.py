"""What the prediction of a shard has left in its output folder."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.errors import ConfigError
from medseg.folder.journal import JOURNAL_NAME, RUN, derive_key, read_latest
from medseg.folder.report import ROOT
from medseg.folder.source import Shard
from medseg.merging.records import RecordTable
from medseg.receipt.receipt import RECEIPT, Receipt

Placed = tuple[tuple[int, ...], int, dict[str, Any]]
"""The position of a row among those of all shards, the index of its shard, and the row."""


@dataclass(frozen=True, eq=False)
class ShardFolder:
    """The output folder of a finished shard."""

    folder: Path
    shard: Shard
    root: str
    """SHA-256 of the path of the input folder."""
    key: str
    """Hash over the settings that determine the results."""
    backend: str
    summary: Mapping[str, Any]
    receipt: Receipt

    def read_rows(self) -> Iterator[Placed]:
        """The rows of the report. Raises `ConfigError`."""
        path = self.folder / "report.jsonl"
        try:
            with path.open(encoding="utf-8") as file:
                for row in map(json.loads, file):
                    yield tuple(map(int, row["position"].split("."))), self.shard.index, row
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: cannot be read. {self.remedy}") from error

    def read_columns(self) -> list[str]:
        """The columns of the report. Raises `ConfigError`."""
        path = self.folder / "report.csv"
        try:
            with path.open(newline="", encoding="utf-8") as file:
                return next(csv.reader(file))
        except (OSError, ValueError, StopIteration) as error:
            raise ConfigError(f"{path}: cannot be read. {self.remedy}") from error

    @property
    def results(self) -> str | None:
        """The object store that has the results, as the summary names it. None: they are in the folder."""
        return self.summary["config"].get("folder", {}).get("results")  # type: ignore[no-any-return]

    @property
    def remedy(self) -> str:
        """What to do if something in the folder is not as it was left."""
        return f"Run shard {self.shard} again with the same settings and output.dir"


def read_shard(folder: Path, records: RecordTable) -> ShardFolder:
    """The shard in an output folder. The records of its files are added to `records`. Raises `ConfigError`."""
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        if "files" in summary and "shard" not in summary:
            raise ConfigError(
                f"{folder}: has a prediction of all files, not of a shard. Remove it from inputs, or predict with "
                "predict.shard"
            )
        shard = Shard.parse(summary["shard"])
        if not summary["complete"] or RECEIPT not in summary:
            raise ConfigError(f"{folder}: shard {shard} is not finished. Run it again with the same settings")
        receipt, claims = Receipt.from_json(summary[RECEIPT]), {}
        for place, record in read_latest(folder / JOURNAL_NAME):
            if "id" in record:
                records.add(record["id"], shard.index, place)
            else:
                claims[record["path"]] = record
        claim, backend = claims[derive_key(ROOT)], claims[derive_key(RUN)]["backend"]
        if claim["shard"] != summary["shard"]:
            raise KeyError
        return ShardFolder(folder, shard, claim["root"], claim["key"], backend, summary, receipt)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{folder}: has no results of a shard, or they are damaged. Name the output.dir of a prediction with "
            "predict.shard"
        ) from error
