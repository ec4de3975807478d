"""Division of the patients into training, validation and test."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from medseg.data.case import Case, CaseSet
from medseg.data.cases import check_patients
from medseg.data.config import SplitConfig
from medseg.data.findings import Findings
from medseg.errors import DataError

RULE = "blocks"
"""Rule for drawing splits, saved in files that depend on it. Older files without it used another rule."""

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Cases of each split, sorted by id, and the classes in channel order."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    classes: tuple[str, ...]
    rule: str | None = None
    """`RULE` if the splits were drawn; None if the data set gives them."""

    def items(self) -> tuple[tuple[str, tuple[Case, ...]], ...]:
        """Return the name and the cases of each split."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)

    def names(self) -> dict[str, str]:
        """Return case id -> split."""
        return {case.id: name for name, cases in self.items() for case in cases}


def split_by_patient(found: CaseSet, config: SplitConfig) -> Splits:
    """Return the cases by split (see `draw_splits`). Raises `DataError` if a fault is noted."""
    findings = Findings()
    names = draw_splits(found, config, findings)
    findings.check()
    pairs = list(zip(found.cases, names, strict=True))
    members = {name: tuple(case for case, n in pairs if n == name) for name in _SPLITS}
    return Splits(**members, classes=found.classes, rule=None if _are_given(found.cases) else RULE)


def draw_splits(found: CaseSet, config: SplitConfig, findings: Findings) -> tuple[str, ...]:
    """Return the split of each case: the given split, else a block of patients ordered by a hash of seed and patient.

    Block sizes follow `config.fractions` in whole patients, at least one. Each added patient moves about one other
    patient at each border. With `config.folds`, fold k is the test set; `fractions` divides the rest. Notes too few
    patients, an empty split, a patient in two splits, and an empty PatientID that several cases share.
    """
    cases = name_patients(found.cases, config)
    given = _are_given(cases)
    if given and config.folds is not None:
        raise DataError(
            "split.folds is set, but the data set gives its own splits. Remove the manifest's 'split' column, or put "
            "all images into one folder."
        )
    if not (given and config.allow_duplicates):
        check_patients(cases, findings)
    drawn = {} if given else _draw({case.patient for case in cases}, config)
    names = tuple(case.split or "" if given else drawn[case.patient] for case in cases)
    if given and not config.allow_duplicates:
        _check_patient_overlap(cases, names, findings)
    _check_sizes(names, len({case.patient for case in cases}), config, findings, given=given)
    return names


def name_patients(cases: Sequence[Case], config: SplitConfig) -> tuple[Case, ...]:
    """Return the cases with the patient that `config.patients` chooses."""
    if config.patients == "image":
        return tuple(replace(case, patient=f"\0{case.id}") for case in cases)
    return tuple(cases)


def _are_given(cases: Sequence[Case]) -> bool:
    return any(case.split for case in cases)


def _draw(patients: Iterable[str], config: SplitConfig) -> dict[str, str]:
    """Return patient -> split."""
    order = sorted(patients, key=lambda patient: (_hash(patient, f"split {config.seed}"), patient))
    if config.folds is None:
        blocks = _cut(order, config.fractions)
    else:
        start, stop = (number * len(order) // config.folds for number in (config.fold, config.fold + 1))
        blocks = [*_cut(order[stop:] + order[:start], config.fractions[:2]), order[start:stop]]
    return {patient: name for name, block in zip(_SPLITS, blocks, strict=True) for patient in block}


def _cut(order: Sequence[str], shares: Sequence[float]) -> list[Sequence[str]]:
    """Cut `order` into blocks by shares, in whole numbers; a share greater than 0 gets at least one."""
    blocks, stop, total = [], 0, sum(shares) or 1.0
    for number, share in enumerate(shares, start=1):
        start, later = stop, sum(other > 0 for other in shares[number:])
        stop = math.floor(len(order) * sum(shares[:number]) / total + 0.5 + 1e-9)  # halves round up
        stop = max(min(stop, len(order) - later), start + (share > 0)) if number < len(shares) else len(order)
        blocks.append(order[start:stop])
    return blocks


def _hash(patient: str, key: str) -> bytes:
    """Return a keyed hash of the patient (BLAKE2b, RFC 7693)."""
    return hashlib.blake2b(patient.encode("utf-8", "surrogatepass"), digest_size=8, key=key.encode()[:64]).digest()


def _count_least(folds: int | None) -> int:
    """Return the least number of patients for one in each split.

    Two folds need four: with three, one patient would remain for both training and validation.
    """
    return 3 if folds is None else max(folds, 4 if folds == 2 else 3)


def _check_sizes(names: Sequence[str], patients: int, config: SplitConfig, findings: Findings, *, given: bool) -> None:
    """Note too few patients for the splits, or each split without a case."""
    if not given and patients < (least := _count_least(config.folds)):
        asked = "training, validation and test need" if config.folds is None else f"split.folds={config.folds} needs"
        said = f"{asked} at least {least} patients; this data set has {patients}"
        findings.add("empty_split", "", said, what="too few patients")
        return
    where = "" if config.folds is None else f" of fold {config.fold} (0 to {config.folds - 1})"
    counts = ", ".join(f"{name} {names.count(name)}" for name in _SPLITS)
    for name in _SPLITS:
        if name not in names:
            findings.add("empty_split", "", f"no case in {name}{where} (cases: {counts}; {patients} patients)")


def _check_patient_overlap(cases: Sequence[Case], names: Sequence[str], findings: Findings) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for case, name in zip(cases, names, strict=True):
        other, other_split = seen.setdefault(case.patient, (case.id, name))
        if other_split != name:
            pair = f"{other} ({other_split}) and {case.id} ({name})"
            for identifier in (other, case.id):
                findings.add("patient_across_splits", identifier, pair)
