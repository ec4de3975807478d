"""The join of all shards of a prediction."""

import logging
import resource
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from medseg.atomic import link_or_copy
from medseg.cluster.parts import write_parts
from medseg.errors import ConfigError, OutputBusyError
from medseg.folder.index import Firsts
from medseg.folder.journal import JOURNAL_NAME, Journal
from medseg.folder.progress import Tally
from medseg.folder.report import DUPLICATE, claim_root, find_duplicates
from medseg.folder.sink import FolderSink
from medseg.merging.contents import Contents, Found, Inspection
from medseg.merging.mixtures import list_mixtures
from medseg.merging.records import RecordTable
from medseg.merging.shard import ShardFolder, read_shard
from medseg.merging.summary import write_summary
from medseg.output.folder import hold_folder
from medseg.output.report import SHARD_COLUMNS, Plain, Report

_logger = logging.getLogger(__name__)
_FILES = 3  # of each shard that are open at a time: its lock, its journal and its report


def merge_shards(inputs: Sequence[Path], folder: Path) -> Tally:
    """Write into `folder` what one run would have made of the shards in the output folders `inputs`.

    Results get a second name where the file system has hard links, else they are copied. A merge that was killed is
    completed by the next one. Raises `ConfigError`, with all reasons, if the shards do not belong together, and
    `StorageError`.
    """
    _allow_files(_FILES * len(inputs))
    with ExitStack() as stack:
        records = stack.enter_context(RecordTable())
        shards = _read_shards(inputs, folder, records, stack)
        contents = stack.enter_context(Contents(shards, records))
        inspection = Inspection(contents)
        _raise_listed(inspection.problems)
        if not inspection.is_one_walk:
            _logger.warning(
                "the input folder has changed between the runs of the shards: files may be missing, and rows may be in "
                "another order. Run medseg predict on all files with this output.dir to complete the results"
            )
        with Journal(folder / JOURNAL_NAME) as journal:
            journal.keep_backend(shards[0].backend)
            claim_root(journal, folder, {"root": shards[0].root})
            tally = _merge_contents(contents, folder, journal)
        if shards[0].summary["config"].get("folder", {}).get("engine") == "ray":
            write_parts(folder)
        write_summary(folder, shards, tally, inspection.folds)
    return tally


def _allow_files(number: int) -> None:
    """Let this process open `number` more files, if the system allows it. The usual limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + number if hard == resource.RLIM_INFINITY else min(soft + number, hard)
    if soft not in (resource.RLIM_INFINITY, wanted):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _read_shards(inputs: Sequence[Path], folder: Path, records: RecordTable, stack: ExitStack) -> list[ShardFolder]:
    """The shards in their order, held until the `stack` is closed. Raises `ConfigError`."""
    shards: list[ShardFolder] = []
    problems: list[str] = []
    for place in dict.fromkeys(path.absolute() for path in inputs):
        try:
            if place.resolve() == folder.resolve():
                raise ConfigError(f"{place}: is also output.dir. Choose another output.dir")
            shards.append(read_shard(place, records))
            stack.enter_context(hold_folder(place))
        except (ConfigError, OutputBusyError) as error:
            problems.append(str(error))
    if shards and not problems:
        problems = list_mixtures(shards)
    if not problems:
        folders = {each.shard.index: each.folder for each in shards}
        problems = [
            f"{folders[one]} and {folders[other]}: both have results of the file {id}, but a file is in one shard. Run "
            "both shards again in new folders"
            for (one, other), id in records.recurring.items()
        ]
    _raise_listed(problems)
    return sorted(shards, key=lambda each: each.shard.index)


def _raise_listed(problems: Sequence[str]) -> None:
    if len(problems) == 1:
        raise ConfigError(f"inputs: {problems[0]}")
    if problems:
        raise ConfigError("\n".join([f"inputs: {len(problems)} problems", *(f"  - {each}" for each in problems)]))


def _merge_contents(contents: Contents, folder: Path, journal: Journal) -> Tally:
    """Write results, journal and report. A record comes after its results, as in a prediction."""
    columns = next(iter(contents.shards.values())).read_columns()
    tally, sink = Tally(), FolderSink(folder)
    with Firsts() as firsts, Report(folder, [name for name in columns if name not in SHARD_COLUMNS]) as report:
        for found in contents:
            if found.line is not None:
                _take_results(found, found.line, sink, journal)
            report.copy(_build_row(found, firsts))
            tally.add(found.row["status"], found.row["reason"] or "")
    return tally


def _take_results(found: Found, line: Mapping[str, Any], sink: FolderSink, journal: Journal) -> None:
    key, record = line["path"], {name: value for name, value in line.items() if name != "path"}
    outputs = found.record.outputs if found.shard.results is None else {}  # those in an object store stay there
    earlier = journal.find_key(key)
    if earlier == record and all(sink.size(name) == size for name, size in outputs.items()):
        return
    for name in outputs:
        link_or_copy(found.shard.folder / name, sink.path(name))
    same = ("id", "configuration")
    if earlier is not None and [earlier.get(name) for name in same] != [record.get(name) for name in same]:
        for name in earlier.get("outputs", {}).keys() - outputs.keys():
            sink.remove(name)
    journal.append_key(key, record)


def _build_row(found: Found, firsts: Firsts) -> dict[str, Plain]:
    """The row as one run would have it. A duplicate names the first file of all shards."""
    row = {name: cell for name, cell in found.row.items() if name not in SHARD_COLUMNS}
    if found.line is not None:
        own = [part for part in (row["warnings"] or "").split(";") if part and not part.startswith(DUPLICATE)]
        row["warnings"] = ";".join([*own, *find_duplicates(firsts, found.record)]) or None
    return row
