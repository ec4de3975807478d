"""The rows and records of the shards, and whether they are as their predictions have left them."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from typing import Any, BinaryIO, Self

from medseg.folder.journal import JOURNAL_NAME
from medseg.folder.receipt import Folds
from medseg.folder.record import Record
from medseg.folder.sink import FolderSink
from medseg.merging.records import RecordTable
from medseg.merging.shard import Placed, ShardFolder


@dataclass(frozen=True, eq=False)
class Found:
    """A row of a report, with its record."""

    position: tuple[int, ...]
    shard: ShardFolder
    row: dict[str, Any]
    line: Mapping[str, Any] | None
    """The line of the journal. None for a file that the next run would try again, or that was not opened."""

    @cached_property
    def record(self) -> Record:
        """The record of the file."""
        if self.line is None:
            return Record(self.row["id"], self.row["status"], self.row["reason"] or "")
        return Record.from_json(self.line)


class Contents:
    """The rows of all shards in the order of one run. A context manager."""

    def __init__(self, shards: Sequence[ShardFolder], records: RecordTable) -> None:
        self.shards, self._records = {each.shard.index: each for each in shards}, records
        self._journals: dict[int, BinaryIO] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        for index, each in self.shards.items():
            self._journals[index] = self._closing.enter_context((each.folder / JOURNAL_NAME).open("rb"))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def __iter__(self) -> Iterator[Found]:
        """Each row with its record. Memory holds one row of each shard. Raises `ConfigError`."""
        rows: Iterator[Placed] = merge(*(each.read_rows() for each in self.shards.values()))
        for position, index, row in rows:
            line = self._read_line(index, row["id"])
            same = line is not None and line["status"] == row["status"]
            yield Found(position, self.shards[index], row, line if same else None)

    def _read_line(self, index: int, id: str) -> dict[str, Any] | None:
        found = self._records.find(id)
        if found is None or found[0] != index:
            return None
        _, (start, length) = found
        line: dict[str, Any] = json.loads(os.pread(self._journals[index].fileno(), length, start))
        return line


class Inspection:
    """Whether the contents of shards are as their predictions have left them."""

    def __init__(self, contents: Contents) -> None:
        """Read all rows and records, and look at each result. Raises `ConfigError` if a report cannot be read."""
        shards = contents.shards.values()
        self.folds = {each.shard.index: Folds(FolderSink(each.folder)) for each in shards}
        self.is_one_walk = True
        """Whether the shards have met the same entries of the input folder, as far as their positions say."""
        self._lost: Counter[int] = Counter()  # files of a shard
        last: tuple[int, ShardFolder | None] = -1, None
        for found in contents:
            here = found.position[0], found.shard
            self.is_one_walk &= here == last or here[0] == last[0] + 1
            last = here
            self._inspect(found)
        self.problems = [problem for each in shards for problem in self._judge(each)]

    def _inspect(self, found: Found) -> None:
        shard, record = found.shard, found.record
        folds, sink = self.folds[shard.shard.index], FolderSink(shard.folder)
        folds.add(record)
        stands = shard.results is not None or all(sink.size(name) == size for name, size in record.outputs.items())
        if not stands or (record.key != shard.key if found.line else record.status == "done"):
            self._lost[shard.shard.index] += 1

    def _judge(self, shard: ShardFolder) -> Iterator[str]:
        folds, lost = self.folds[shard.shard.index], self._lost[shard.shard.index]
        if lost:
            yield (
                f"{shard.folder}: {lost} of its files have no record with the present settings, or their results are "
                f"missing or changed. {shard.remedy}"
            )
        elif (folds.inputs.digest(), folds.results.digest()) != (shard.receipt.data, shard.receipt.results):
            yield f"{shard.folder}: its receipt does not belong to its report and journal. {shard.remedy}"
