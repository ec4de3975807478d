"""Faults of a data set, collected for one message, one table or one page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.data.case import as_text
from medseg.data.rules import RULES, SEVERITIES, Severity
from medseg.errors import DataError, RadiographError

_SHOWN = 10
_NAMED = 3
_CODES = {"content": "no_content", "shape": "size_mismatch", "labels": "unknown_label", "exif": "exif_unclear"}
"""Code of a `RadiographError` -> code of a rule; all other codes become `unreadable`."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault and the cases that have it."""

    code: str
    severity: Severity
    cases: tuple[str, ...]
    """Sorted ids; empty if the fault concerns no single case."""
    remedy: str
    what: str
    reasons: Mapping[str, str]
    """Case id, or "" for no single case -> description of the fault."""


@dataclass
class _Notes:
    """Notes under one code and heading: file names or sentences, and their cases."""

    severity: Severity
    remedy: str
    names: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)


class Findings:
    """Collected faults, by the codes of `rules.RULES`."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._notes: dict[tuple[str, str], _Notes] = {}

    def add(
        self,
        code: str,
        case: str,
        name: str = "",
        *,
        what: str | None = None,
        severity: Severity | None = None,
        remedy: str | None = None,
    ) -> None:
        """Note a fault of `case` ("" for no single case); `name` is the file name or a sentence that describes it.

        `what`, `severity` and `remedy` replace the values of the rule.
        """
        rule = RULES[code]
        notes = self._notes.setdefault(
            (code, what or rule.what), _Notes(severity or rule.severity, remedy or rule.remedy)
        )
        notes.names.append(as_text(name or case))
        notes.cases.append(case)

    def add_error(self, case: str, error: RadiographError) -> None:
        """Note that a file of `case` cannot be used."""
        self.add(_CODES.get(error.code, "unreadable"), case, str(error))

    def cases(self, code: str) -> set[str]:
        """Return the cases noted under `code` so far."""
        return {case for (known, _), notes in self._notes.items() if known == code for case in notes.cases if case}

    def check(self) -> None:
        """Raise `DataError` if there are errors; it lists the first 10 names, the count and the remedy of each."""
        fatal = {key: notes for key, notes in self._notes.items() if notes.severity == "error"}
        if fatal:
            where = f"{as_text(self.root)}: " if self.root else ""
            lines = [f"{where}this data set cannot be used because of these errors"]
            for (_, what), notes in fatal.items():
                names = list(dict.fromkeys(notes.names))
                more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
                shown = "\n    ".join(names[:_SHOWN] + more)
                lines.append(f"  {what} ({len(names)}):\n    {shown}\n    -> {notes.remedy}")
            raise DataError("\n".join(lines))

    def describe_warnings(self) -> list[str]:
        """Return one line per warning: the fault, the number of cases, the first cases and the remedy."""
        return [
            f"{finding.what} ({len(finding.cases)}): {name_some(finding.cases)}. {finding.remedy}"
            for finding in self.listed()
            if finding.severity == "warning"
        ]

    def describe_notes(self) -> list[str]:
        """Return one line per remark of a file reader with its number of cases, most frequent first."""
        notes = [note for (code, _), notes in self._notes.items() if code == "reading_note" for note in notes.names]
        return [f"{note} ({count})" for note, count in Counter(notes).most_common(_SHOWN)]

    def listed(self) -> list[Finding]:
        """Return one finding per code, most severe first, then in the order of the rules."""
        by_code: dict[str, list[tuple[str, _Notes]]] = {}
        for (code, what), notes in self._notes.items():
            by_code.setdefault(code, []).append((what, notes))
        order = [code for code in RULES if code in by_code]
        found = [_merge(code, by_code[code]) for code in order]
        return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def list_findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return the findings as plain values for `check.json`."""
    keys = ("code", "severity", "cases", "remedy")
    return [{key: getattr(finding, key) for key in keys} for finding in findings]


def name_some(cases: Sequence[str]) -> str:
    """Return the first three cases and the number of the others."""
    more = f" and {len(cases) - _NAMED} more" if len(cases) > _NAMED else ""
    return ", ".join(cases[:_NAMED]) + more


def _merge(code: str, groups: list[tuple[str, _Notes]]) -> Finding:
    """Merge all notes under `code` into one finding."""
    rule = RULES[code]
    said: dict[str, dict[str, None]] = {}  # a dictionary as an ordered set
    for what, notes in groups:
        for case, name in zip(notes.cases, notes.names, strict=True):
            said.setdefault(case, {})[name if what == rule.what else f"{what}: {name}"] = None
    return Finding(
        code=code,
        severity=min((notes.severity for _, notes in groups), key=SEVERITIES.index),
        cases=tuple(sorted(case for case in said if case)),
        remedy=" ".join(dict.fromkeys(notes.remedy for _, notes in groups)),
        what=rule.what,
        reasons={case: "; ".join(texts) for case, texts in sorted(said.items())},
    )
