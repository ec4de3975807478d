"""The whole evaluation of one model: measures every case once, then summarizes."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from medseg.data.case import Case, CaseSet, as_text
from medseg.data.cases import check_patients, refuse_drawn
from medseg.data.config import EvaluateDataConfig
from medseg.data.findings import Findings
from medseg.errors import ConfigError, DataError, IncomparableError
from medseg.evaluation.candidate import Candidate, ReadCase, map_cases
from medseg.evaluation.compare import compare_cases, pair_cases, warn_of_few
from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.per_case import CaseMeasurement, measure_case
from medseg.evaluation.result import CaseResult, Comparison, Evaluation, digest_cases
from medseg.evaluation.stress_pass import measure_stress
from medseg.evaluation.summary import compare_thresholds, find_unit, list_counts, sum_up
from medseg.receipt.digests import Fold


@dataclass(frozen=True)
class Pass:
    """One model's measurements of the cases of a data set."""

    cases: tuple[CaseMeasurement, ...]
    left_out: int
    """Number of cases left out because a model has seen them."""
    test_set: str
    """As in `Evaluation.test_set`."""
    content: str
    """As in `Evaluation.content`."""
    findings: Findings
    """Findings of the data set checks on the cases read."""


@dataclass(frozen=True)
class Earlier:
    """The per-case table of another evaluation."""

    name: str
    cases: tuple[CaseResult, ...]


def evaluate_model(
    candidate: Candidate,
    found: CaseSet,
    data: EvaluateDataConfig,
    config: EvaluationConfig,
    other: Candidate | Earlier | None = None,
) -> Evaluation:
    """The evaluation that `config` asks for, of the cases in `data.subset`, compared with `other` if given.

    Raises `ConfigError` for an unknown column or a stress test that the data do not allow, and `DataError` if no case
    is left or a case cannot be read.
    """
    started = time.monotonic()
    check_request(found, data, config, candidate)
    done = measure_cases(candidate, found, data, config.by, other if isinstance(other, Candidate) else None)
    comparison, notes = (None, []) if other is None else _compare(candidate, done, found, data, other, config.seed)
    cut = candidate.predictor.decision.thresholds
    evaluation = sum_up(
        done.cases,
        candidate.classes,
        config,
        model=candidate.digest,
        data=Path(as_text(data.root)).resolve().stem,
        subset=data.subset,
        moved=[case for case, *_ in comparison.moved] if comparison else [],
    )
    return replace(
        evaluation,
        backend=candidate.predictor.backend,
        left_out=done.left_out,
        test_set=done.test_set,
        content=done.content,
        thresholds=compare_thresholds(done.cases, candidate.classes, candidate.card.thresholds),
        stress=measure_stress(candidate, found.cases, done.cases, config.stress_cases) if config.stress else (),
        comparison=comparison,
        warnings=[
            *_list_warnings(candidate, found, evaluation),
            *notes,
            *done.findings.describe_warnings(),
            *evaluation.warnings,
        ],
        findings=done.findings.listed(),
        seconds=time.monotonic() - started,
        cut={name: cut[channel] for name, channel in zip(candidate.classes, candidate.channels, strict=True)},
    )


def check_request(found: CaseSet, data: EvaluateDataConfig, config: EvaluationConfig, candidate: Candidate) -> None:
    """Raise `ConfigError` for a column missing from the manifest, or for a stress test of color images.

    Raises `DataError` for masks that a model drew and nobody has corrected: they are no reference.
    """
    refuse_drawn(found.cases, data.root)
    columns = sorted({column for case in found.cases for column in _read_columns(case)})
    unknown = [column for column in config.by if column not in columns]
    if unknown:
        there = ", ".join(columns) or "none (only a manifest can have columns)"
        raise ConfigError(f"by: no column {', '.join(unknown)} in {as_text(data.root)}; its columns are: {there}")
    if config.stress and candidate.data.color == "rgb":
        raise ConfigError("stress=true needs a model of grayscale radiographs, but this model reads color images")


def measure_cases(
    candidate: Candidate,
    found: CaseSet,
    data: EvaluateDataConfig,
    by: Sequence[str] = (),
    other: Candidate | None = None,
) -> Pass:
    """Measure every case that has one of the candidate's classes, in the order of `found`.

    Unless `data.subset` is `all`, cases that the candidate or `other` has seen are left out. Raises `DataError` if no
    case is left, or `IncomparableError` if that is because of `other`.
    """
    scored = _find_scored(candidate, found)
    patients = number_patients(found.cases)
    groups = {case.id: {column: _read_columns(case).get(column) or "(empty)" for column in by} for case in scored}
    left_out: list[str] = []
    digests: list[str] = []
    content = Fold()

    findings = Findings(data.root)

    def wanted(read: ReadCase) -> bool:
        digests.append(read.digest)
        content.add(read.content)
        seen = candidate.tell_seen(read) or (other is not None and other.tell_seen(read))
        if seen and data.subset == "unseen":
            left_out.append(candidate.tell_seen(read))
        return not seen or data.subset == "all"

    def measure(read: ReadCase, predicted: Tensor) -> CaseMeasurement:
        return measure_case(candidate, read, predicted, patients[read.case.id], groups[read.case.id])

    cases = tuple(map_cases(candidate, scored, measure, wanted, findings))
    if not cases:
        kind = DataError if all(left_out) else IncomparableError
        raise kind(
            f"{as_text(data.root)}: {'the model was' if other is None else 'the models were'} trained or validated on "
            f"all {len(left_out)} cases. To evaluate on them anyway, set data.subset=all"
        )
    return Pass(cases, len(left_out), digest_cases(digests), content.digest(), findings)


def digest_content(candidate: Candidate, found: CaseSet) -> str:
    """`Evaluation.content` of the cases `found`, from reading them again. Raises `RadiographError`."""
    return Fold(candidate.read(case).content for case in _find_scored(candidate, found)).digest()


def _find_scored(candidate: Candidate, found: CaseSet) -> list[Case]:
    """The cases with a reference for at least one scored class."""
    return [case for case in found.cases if case.target or set(case.masks) & set(candidate.classes)]


def _read_columns(case: Case) -> dict[str, str]:
    """The manifest columns of a case other than files and patient."""
    return {**case.metadata, **({"split": case.split} if case.split else {})}


def number_patients(cases: Sequence[Case]) -> dict[str, str]:
    """A pseudonym such as `p001` for the patient of each case, in order of appearance.

    Cases that share a placeholder PatientID each get a pseudonym of their own.
    """
    nameless = _find_nameless(cases)
    patients = {case.id: f"\0{case.id}" if case.id in nameless else case.patient for case in cases}
    numbers = {patient: f"p{number:03d}" for number, patient in enumerate(dict.fromkeys(patients.values()), 1)}
    return {case: numbers[patient] for case, patient in patients.items()}


def _find_nameless(cases: Sequence[Case]) -> set[str]:
    """The cases that share an empty or placeholder PatientID."""
    findings = Findings()
    check_patients(cases, findings)
    return findings.cases("placeholder_patients")


def _compare(
    candidate: Candidate, done: Pass, found: CaseSet, data: EvaluateDataConfig, other: Candidate | Earlier, seed: int
) -> tuple[Comparison, list[str]]:
    """The comparison with the other model on cases that neither has seen, and warnings about it.

    Raises `IncomparableError` if there are no such cases, or if the other model cannot read one of them.
    """
    if isinstance(other, Earlier):
        name, theirs = other.name, other.cases
    else:
        name, theirs = other.digest, _measure_other(other, found, data)
    ours = [case.result for case in done.cases]
    pairs, notes = pair_cases(ours, theirs, name, data.subset, same_files=isinstance(other, Candidate))
    known = {column for case in theirs for column in case.scores}
    classes = [name for name in candidate.classes if f"dice_{name}" in known]
    if not pairs or not classes:
        lacking = "class" if pairs else "case"
        raise IncomparableError("; ".join([f"compare: {name} has no {lacking} in common with this evaluation", *notes]))
    comparison = compare_cases(pairs, classes, find_unit(done.cases), name, seed)
    return comparison, notes + warn_of_few(comparison)


def _measure_other(other: Candidate, found: CaseSet, data: EvaluateDataConfig) -> tuple[CaseResult, ...]:
    try:
        return tuple(case.result for case in measure_cases(other, found, data).cases)
    except DataError as error:
        raise IncomparableError(f"compare: {other.digest}: {error}") from error


def _list_warnings(candidate: Candidate, found: CaseSet, evaluation: Evaluation) -> list[str]:
    """Warnings about the evaluation as a whole; warnings about single files come from the cases."""
    ours, theirs, cases = candidate.card.classes, found.classes, evaluation.cases
    warnings = [f"class {name} of the model is not in the data" for name in ours if name not in candidate.classes]
    warnings += [f"class {name} of the data is not in the model" for name in theirs if name not in ours]
    if len({case.patient for case in cases}) < 2:
        warnings.append("no intervals: all cases are of one patient")
    nameless = _find_nameless(found.cases)
    counts = {
        "several images share an empty or placeholder PatientID: each image counts as a different patient, so "
        "intervals are too narrow if a patient has several": sum(case.case in nameless for case in cases),
        "not scored: no mask of any scored class": len(found.cases) - len(_find_scored(candidate, found)),
        f"surface distances that are not in {evaluation.unit} were left out of the means": sum(
            case.unit != evaluation.unit for case in cases
        ),
        **{
            f"no surface distances of {name}: its reference or its prediction is empty": sum(
                math.isfinite(case.scores[f"dice_{name}"]) and math.isnan(case.scores[f"hd95_{name}"]) for case in cases
            )
            for name in candidate.classes
        },
    }
    return warnings + list_counts(counts)
