"""What a check leaves: check.json, check.html and a short table."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.checks.run import describe_set
from medseg.checks.survey import CaseSurvey
from medseg.data.case import CaseSet, as_text
from medseg.data.findings import Finding, list_findings
from medseg.data.rules import SEVERITIES
from medseg.notice import RESEARCH_USE
from medseg.report.check_page import write_check_page
from pipelines.check_config import CheckConfig

_WIDTH = 120


def record_check(
    config: CheckConfig,
    found: CaseSet,
    surveys: Sequence[CaseSurvey],
    splits: Mapping[str, str],
    findings: Sequence[Finding],
    folder: Path,
) -> int:
    """Write the files, print the table; 1 where there is an error, else 0."""
    totals = {"data": as_text(config.data.root), **describe_set(found, surveys, splits)}
    write_text(folder / "check.json", json.dumps(_build_report(totals, findings), indent=2) + "\n")
    write_check_page(folder / "check.html", totals, findings, surveys, found.classes)
    print(_describe(totals, findings, folder / "check.html"))
    return int(any(finding.severity == "error" for finding in findings))


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


def _describe(totals: Mapping[str, Any], findings: Sequence[Finding], page: Path) -> str:
    """What stands on the terminal at the end."""
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
    return "\n".join([*lines, f"report: {page}", RESEARCH_USE])
