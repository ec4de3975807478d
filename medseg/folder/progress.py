"""Progress display of a folder: a bar on a terminal, elsewhere a line from time to time."""

import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tqdm import tqdm

from medseg.notice import RESEARCH_USE

_logger = logging.getLogger(__name__)
_SECONDS = 10.0  # time between two log lines


class Tally:
    """Number of files by status and by reason code."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.predicted = 0
        """Files predicted in this run, not in an earlier one."""
        self.started = time.monotonic()

    @property
    def rejected(self) -> int:
        """Number of files that should have been predicted but could not be."""
        return self.statuses["rejected"]

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def describe(self, folder: Path, *, hashed: bool) -> str:
        """How many files were predicted, skipped and rejected, and where in `folder` the report is, for a terminal.

        `hashed` leaves out the path of the folder, which may name a patient.
        """
        counts = ", ".join(f"{self.statuses[name]} {name}" for name in ("done", "skipped", "rejected"))
        lines = [f"{counts}; {self.predicted} predicted now, {self.predicted / self.seconds:.1f} images/s"]
        lines += [f"  {reason} ({number})" for reason, number in self.reasons.most_common(10)]
        path = Path("report.csv") if hashed else folder / "report.csv"
        return "\n".join([*lines, f"report: {path}", RESEARCH_USE])

    def add(self, status: str, reason: str) -> None:
        """Count one file."""
        self.statuses[status] += 1
        if reason:
            self.reasons[f"{status}: {reason.partition(':')[0]}"] += 1


class Progress:
    """Shows a tally. A second walk counts all files at the same time. A context manager."""

    def __init__(self, tally: Tally, files: Iterable[object], shown: bool = True) -> None:
        self.tally = tally
        self.shown = shown
        self._total: int | None = None
        self._bar = tqdm(total=0, unit=" files", file=sys.stderr) if shown and sys.stderr.isatty() else None
        self._marks = deque([(tally.started, 0)], maxlen=7)  # only recent lines: known files go faster
        self._leaving = False
        self._counter = threading.Thread(target=self._count, args=(files,), daemon=True)
        if shown:
            self._counter.start()

    def show(self) -> None:
        """Update the bar, or log a line if it is time."""
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.set_postfix_str(f"{self.tally.rejected} rejected", refresh=False)
            self._bar.update(self.tally.statuses.total() - self._bar.n)
        elif self.shown and time.monotonic() - self._marks[-1][0] >= _SECONDS:
            _logger.info(self.describe())
            self._marks.append((time.monotonic(), self.tally.statuses.total()))

    def describe(self) -> str:
        """One line: number of files, rejected files, rate, time left."""
        number = self.tally.statuses.total()
        since, before = self._marks[0]
        rate = (number - before) / max(time.monotonic() - since, 1e-9)
        parts = [f"{number}{f' of {self._total}' if self._total is not None else ''} files"]
        parts += [f"{self.tally.rejected} rejected", f"{rate:.1f} files/s"]
        if self._total is not None and rate:
            left = (self._total - number) / rate
            parts.append(f"{left // 60:.0f}:{left % 60:02.0f} left")
        return "  ".join(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        if self.shown:
            self._counter.join()
        if self._bar is not None:
            self.show()
            self._bar.close()

    def _count(self, files: Iterable[object]) -> None:
        number = 0
        for _ in files:
            number += 1
            if self._leaving:
                return
        self._total = number
