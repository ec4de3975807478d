"""Which patients train, validate and test."""

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
"""How splits are drawn, as files say that rely on it; those from before it do not, and were drawn otherwise."""

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The cases of each split, ordered by id, and the classes in channel order."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    classes: tuple[str, ...]
    rule: str | None = None
    """`RULE` where they were drawn, None where a manifest gives them."""

    def items(self) -> tuple[tuple[str, tuple[Case, ...]], ...]:
        """Each split's name and cases."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)

    def names(self) -> dict[str, str]:
        """Case -> its split."""
        return {case.id: name for name, cases in self.items() for case in cases}


def split_by_patient(found: CaseSet, config: SplitConfig) -> Splits:
    """The cases by split, as `draw_splits` says. Raises `DataError` where it notes anything."""
    findings = Findings()
    names = draw_splits(found, config, findings)
    findings.check()
    pairs = list(zip(found.cases, names, strict=True))
    members = {name: tuple(case for case, n in pairs if n == name) for name in _SPLITS}
    return Splits(**members, classes=found.classes, rule=None if _are_given(found.cases) else RULE)


def draw_splits(found: CaseSet, config: SplitConfig, findings: Findings) -> tuple[str, ...]:
    """The split of each case: as a manifest says, else a block of the patients, ordered by a hash of seed and patient.

    Blocks have the shares of `config.fractions`, in whole patients, and one at least. An added patient moves about one
    other at each border. With `config.folds`, fold k is the test set and the rest is divided by `fractions` again.
    Notes too few patients, a split that is empty, a patient who stands in two of them, and an empty PatientID that many
    share.
    """
    cases = name_patients(found.cases, config)
    given = _are_given(cases)
    if given and config.folds is not None:
        raise DataError(
            "the data set gives its own splits, so that split.folds cannot be drawn. Remove the manifest's 'split' "
            "column, or put all images into one folder."
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
    """The cases, each of the patient that `config.patients` says."""
    if config.patients == "image":
        return tuple(replace(case, patient=f"\0{case.id}") for case in cases)
    return tuple(cases)


def _are_given(cases: Sequence[Case]) -> bool:
    return any(case.split for case in cases)


def _draw(patients: Iterable[str], config: SplitConfig) -> dict[str, str]:
    """The split of each patient."""
    order = sorted(patients, key=lambda patient: (_hash(patient, f"split {config.seed}"), patient))
    if config.folds is None:
        blocks = _cut(order, config.fractions)
    else:
        start, stop = (number * len(order) // config.folds for number in (config.fold, config.fold + 1))
        blocks = [*_cut(order[stop:] + order[:start], config.fractions[:2]), order[start:stop]]
    return {patient: name for name, block in zip(_SPLITS, blocks, strict=True) for patient in block}


def _cut(order: Sequence[str], shares: Sequence[float]) -> list[Sequence[str]]:
    """`order` in blocks of its shares, in whole numbers; one at least where the share is not 0."""
    blocks, stop, total = [], 0, sum(shares) or 1.0
    for number, share in enumerate(shares, start=1):
        start, later = stop, sum(other > 0 for other in shares[number:])
        stop = math.floor(len(order) * sum(shares[:number]) / total + 0.5 + 1e-9)  # halves up, whatever the last bits
        stop = max(min(stop, len(order) - later), start + (share > 0)) if number < len(shares) else len(order)
        blocks.append(order[start:stop])
    return blocks


def _hash(patient: str, key: str) -> bytes:
    """A keyed hash of the patient (BLAKE2b, RFC 7693)."""
    return hashlib.blake2b(patient.encode("utf-8", "surrogatepass"), digest_size=8, key=key.encode()[:64]).digest()


def _count_least(folds: int | None) -> int:
    """Patients for one in each split: of three in two folds, one would be left to train and to validate."""
    return 3 if folds is None else max(folds, 4 if folds == 2 else 3)


def _check_sizes(names: Sequence[str], patients: int, config: SplitConfig, findings: Findings, *, given: bool) -> None:
    """Note too few patients to draw splits from, or each split without a case."""
    if not given and patients < (least := _count_least(config.folds)):
        asked = "training, validation and test need" if config.folds is None else f"split.folds={config.folds} needs"
        said = f"{asked} at least {least} patients; this data set has {patients}"
        findings.add("empty_split", "", said, what="too few patients")
        return
    where = "" if config.folds is None else f" of fold {config.fold} (0 to {config.folds - 1})"
    counts = ", ".join(f"{name} {names.count(name)}" for name in _SPLITS)
    for name in _SPLITS:
        if name not in names:
            findings.add("empty_split", "", f"no case in {name}{where} ({counts}; {patients} patients)")


def _check_patient_overlap(cases: Sequence[Case], names: Sequence[str], findings: Findings) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for case, name in zip(cases, names, strict=True):
        other, other_split = seen.setdefault(case.patient, (case.id, name))
        if other_split != name:
            pair = f"{other} ({other_split}) and {case.id} ({name})"
            for identifier in (other, case.id):
                findings.add("patient_across_splits", identifier, pair)
