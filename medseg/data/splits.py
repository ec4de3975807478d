"""Which patients train, validate and test."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from medseg.data.case import Case, CaseSet
from medseg.data.cases import check_patients
from medseg.data.config import SplitConfig
from medseg.data.findings import Findings
from medseg.errors import DataError

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The cases of each split, ordered by id, and the classes in channel order."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    classes: tuple[str, ...]

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
    return Splits(**{name: tuple(case for case, n in pairs if n == name) for name in _SPLITS}, classes=found.classes)


def draw_splits(found: CaseSet, config: SplitConfig, findings: Findings) -> tuple[str, ...]:
    """The split of each case: as a manifest says, else by a hash of `config.seed` and patient.

    The hash makes a split stable: files that are added move none that were there. With `config.folds`, fold k of the
    patients is the test set and the rest is divided by `fractions` again. Notes a split that is empty, a patient who
    stands in two of them, and an empty PatientID that many share.
    """
    cases = name_patients(found.cases, config)
    given = any(case.split for case in cases)
    if given and config.folds is not None:
        raise DataError("the manifest names the splits; take its 'split' column away to draw split.folds")
    if not (given and config.allow_duplicates):
        check_patients(cases, findings)
    names = tuple(case.split or "" if given else _draw_split(case.patient, config) for case in cases)
    if given and not config.allow_duplicates:
        _check_patient_overlap(cases, names, findings)
    where = "" if config.folds is None else f" of fold {config.fold} (0 to {config.folds - 1})"
    counts = ", ".join(f"{name} {names.count(name)}" for name in _SPLITS)
    patients = len({case.patient for case in cases})
    for name in _SPLITS:
        if name not in names:
            findings.add("empty_split", "", f"no case in {name}{where} ({counts}; {patients} patients)")
    return names


def name_patients(cases: Sequence[Case], config: SplitConfig) -> tuple[Case, ...]:
    """The cases, each of the patient that `config.patients` says."""
    if config.patients == "image":
        return tuple(replace(case, patient=f"\0{case.id}") for case in cases)
    return tuple(cases)


def _draw_split(patient: str, config: SplitConfig) -> str:
    train, validation, _ = config.fractions
    if config.folds is not None:
        if int(_draw(patient, f"fold {config.seed}") * config.folds) == config.fold:
            return "test"
        train /= train + validation or 1.0
        validation = 1.0
    position = _draw(patient, f"split {config.seed}")
    return "train" if position < train else "validation" if position < train + validation else "test"


def _draw(patient: str, key: str) -> float:
    """A number in [0, 1) that a keyed hash of the patient gives (BLAKE2b, RFC 7693)."""
    digest = hashlib.blake2b(patient.encode("utf-8", "surrogatepass"), digest_size=8, key=key.encode()[:64]).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def _check_patient_overlap(cases: Sequence[Case], names: Sequence[str], findings: Findings) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for case, name in zip(cases, names, strict=True):
        other, other_split = seen.setdefault(case.patient, (case.id, name))
        if other_split != name:
            pair = f"{other} ({other_split}) and {case.id} ({name})"
            for identifier in (other, case.id):
                findings.add("patient_across_splits", identifier, pair)
