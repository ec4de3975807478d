"""The journal's record of a file, and the output files that belong to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Self

from medseg.folder.examine import Examined, identify_file
from medseg.folder.job import Job
from medseg.folder.journal import Journal
from medseg.folder.source import Source
from medseg.folder.walk import Entry
from medseg.output.writers import choose_date, name_outputs

_LIMITS = ("timeout", "memory", "crashed")  # reasons that may not occur with other limits
_PASSING = ("changing", "unreadable", "killed")  # reasons that may not occur in the next run


@dataclass(frozen=True)
class Record:
    """The result for a file, and the data to check whether it is still valid. Field names are those of the journal."""

    id: str
    status: str
    """`done`, `skipped` or `rejected`."""
    reason: str = ""
    """`code: text`."""
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    """Time of reading, predicting and writing; None if the next run must try again."""
    pixels: str = ""
    instance: str = ""
    outputs: Mapping[str, int] = field(default_factory=dict)
    """Size in bytes of each result, by its name in the sink."""
    digests: Mapping[str, str] | None = None
    """SHA-256 of each result, by its name in the sink. None without results, and in journals of earlier versions."""
    stat: tuple[int, ...] = ()
    key: str = ""
    configuration: str = ""
    date: str | None = None
    """Time when its masks were first made."""
    limits: tuple[float, ...] | None = None
    """Limits (seconds, GiB) that were not enough."""

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        """The record from a line of `as_json`. Unknown fields of later versions are ignored."""
        known = {name: line[name] for name in _NAMES if name in line}
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in known.items()}
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """The record as a line of the journal."""
        return {name: value for name, value in vars(self).items() if value is not None}


_NAMES = tuple(each.name for each in fields(Record))


@dataclass(frozen=True, eq=False)
class File:
    """An entry of the source, with its record from an earlier run."""

    entry: Entry
    earlier: Record | None = None
    stands: bool = False
    """Whether the record comes from the same job and its results still exist."""

    @property
    def settled(self) -> Record | None:
        """The final record, if it is known without opening the file."""
        if self.entry.status:
            return Record(identify_file(self.entry.path), self.entry.status, self.entry.reason)
        same = self.earlier is not None and self.stands and self.earlier.stat == self.entry.fingerprint
        return self.earlier if same else None


class Records:
    """The records of a job's files in its journal. Any thread may use it."""

    def __init__(self, job: Job, journal: Journal, limits: tuple[float, ...]) -> None:
        """`limits` are the limits of the workers, in seconds and GiB."""
        self._job, self._journal, self._limits = job, journal, limits
        self._key, self._configuration = job.key, job.configuration

    def find(self, entry: Entry) -> File:
        """The entry with its latest record."""
        line = self._journal.find(name_entry(self._job.source, entry)) if not entry.status else None
        if line is None:
            return File(entry)
        earlier = Record.from_json(line)
        return File(entry, earlier, self._stands(earlier))

    def choose_date(self, file: File, found: Examined) -> datetime:
        """The date of the results: when they were first made. So making them again gives the same bytes."""
        earlier = self._find_same(file, found)
        return datetime.fromisoformat(earlier.date) if earlier is not None and earlier.date else choose_date()

    def renew(self, file: File, earlier: Record, found: Examined) -> Record:
        """The earlier record with the new fingerprint, for a file that was touched but has the same content."""
        return self._append(file, replace(earlier, stat=found.stat))

    def keep(
        self,
        file: File,
        found: Examined,
        outputs: Mapping[str, int] | None = None,
        date: datetime | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> Record:
        """Record the findings and the `outputs` on the disk, made at `date`, with their `digests`.

        If the reason may not occur in the next run, nothing is recorded, and the results of earlier runs are kept.
        """
        code = found.reason.partition(":")[0]
        standing = {} if code in _PASSING else self._tidy(file, found, outputs, date is not None)
        known = {**((file.earlier and file.earlier.digests) or {}), **(digests or {})}
        record = Record(
            id=found.id,
            status=found.status,
            reason=found.reason,
            warnings=found.warnings,
            facts=found.facts,
            seconds=None if code in _PASSING else round(found.seconds, 3),
            pixels=found.pixels,
            instance=found.instance,
            outputs=standing,
            digests={name: known[name] for name in standing if name in known} or None,
            stat=found.stat,
            key=self._key,
            configuration=self._configuration,
            date=date.isoformat() if date is not None else None,
            limits=self._limits if code in _LIMITS else None,
        )
        return record if code in _PASSING else self._append(file, record)

    def _append(self, file: File, record: Record) -> Record:
        self._journal.append(name_entry(self._job.source, file.entry), record.as_json())
        return record

    def _stands(self, record: Record) -> bool:
        if record.key != self._key or record.limits not in (None, self._limits):
            return False
        return all(self._job.sink.size(name) == size for name, size in record.outputs.items())

    def _find_same(self, file: File, found: Examined) -> Record | None:
        """The earlier record if it belongs to the same masks, even if the output formats differ."""
        earlier = file.earlier
        same = earlier is not None and (earlier.id, earlier.configuration) == (found.id, self._configuration)
        return earlier if same else None

    def _tidy(
        self, file: File, found: Examined, outputs: Mapping[str, int] | None, was_writing: bool
    ) -> dict[str, int]:
        """The outputs that belong to a file. All other outputs under its name are removed.

        Outputs of an earlier run with the same image and the same settings are kept, even if their format is not
        requested now. Outputs of other content or another model, and those left by a process that died, are removed.
        """
        sink, standing = self._job.sink, dict(outputs or {})
        if outputs is not None and (same := self._find_same(file, found)) is not None:
            standing |= {name: size for name, size in same.outputs.items() if sink.size(name) == size}
        names, is_broken = name_outputs(self._job.decision.classes, found.id), was_writing and outputs is None
        possible = names if sink.threads == 1 or is_broken else set()  # elsewhere, a request for each takes too long
        for name in (possible | (file.earlier.outputs.keys() if file.earlier else set())) - standing.keys():
            sink.remove(name)
        if is_broken:
            for name in names:
                sink.sweep(name)
        return standing


def name_entry(source: Source, entry: Entry) -> bytes:
    """The name of a file in the journal. It includes the source, since two sources may have the same file names."""
    return source.identity + b"\0" + entry.path
