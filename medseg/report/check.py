"""The results of a data check: check.json, check.html and the text on the terminal."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.checks.survey import CaseSurvey
from medseg.data.case import CaseSet
from medseg.data.findings import Finding, list_findings
from medseg.data.rules import SEVERITIES
from medseg.notice import RESEARCH_USE
from medseg.report.check_page import write_check_page

_WIDTH = 120


@dataclass(frozen=True)
class Checked:
    """A data set that was checked."""

    totals: Mapping[str, Any]
    """Counts of the data set, from `describe_set`."""
    findings: Sequence[Finding]
    folder: Path
    """The folder of `check.json` and `check.html`."""

    @property
    def has_errors(self) -> bool:
        """Whether training refuses the data set."""
        return any(finding.severity == "error" for finding in self.findings)

    @property
    def report(self) -> Path:
        """The page with the images of suspicious cases."""
        return self.folder / "check.html"

    def describe(self) -> str:
        """The findings as a table for a terminal, and where the page is."""
        totals, findings = self.totals, self.findings
        splits = ", ".join(f"{name} {count}" for name, count in totals["splits"].items())
        lines = [f"{totals['data']}: {totals['read']} of {totals['cases']} cases read ({splits})"]
        if findings:
            widest = max(len(finding.code) for finding in findings)
            before = f"{{:8}}  {{:{widest}}}  {{:>5}}  "
            lines += ["", before.format("severity", "code", "cases") + "remedy"]
            for finding in findings:
                first = before.format(finding.severity, finding.code, len(finding.cases) or "-")
                lines += textwrap.wrap(finding.remedy, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
            lines.append("")
        lines.append(", ".join(f"{severity}s {count}" for severity, count in _count(findings).items()))
        return "\n".join([*lines, f"report: {self.report}", RESEARCH_USE])


def write_check(
    folder: Path, totals: Mapping[str, Any], findings: Sequence[Finding], surveys: Sequence[CaseSurvey], found: CaseSet
) -> Checked:
    """Write `check.json` and `check.html`; `totals` comes from `describe_set`."""
    checked = Checked(totals, findings, folder)
    write_text(folder / "check.json", json.dumps(_build_report(totals, findings), indent=2) + "\n")
    write_check_page(checked.report, totals, findings, surveys, found.classes)
    return checked


def _build_report(totals: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "findings": list_findings(findings),
        "reasons": {finding.code: finding.reasons for finding in findings},
        "counts": _count(findings),
        **totals,
        "research_use": RESEARCH_USE,
    }


def _count(findings: Sequence[Finding]) -> dict[str, int]:
    return {severity: sum(finding.severity == severity for finding in findings) for severity in SEVERITIES}
