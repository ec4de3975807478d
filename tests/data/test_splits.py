from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medseg.data.case import Case, CaseSet, MaskSource
from medseg.data.config import SplitConfig
from medseg.data.splits import name_patients, split_by_patient
from medseg.errors import DataError


def build_cases(patients, splits=None):
    cases = [
        Case(
            f"case{number:04d}",
            Path(f"{number}.png"),
            {"a": MaskSource(Path("m"))},
            f"\0p{patient}" if isinstance(patient, int) else f"\0{patient}",
        )
        for number, patient in enumerate(patients)
    ]
    return CaseSet(
        tuple(replace(case, split=s) for case, s in zip(cases, splits or [None] * len(cases), strict=True)), ("a",)
    )


def assign(found, config):
    return {case.patient: name for name, cases in split_by_patient(found, config).items() for case in cases}


def test_shares_are_near_the_fractions():
    splits = split_by_patient(build_cases(range(4000)), SplitConfig(seed=0))
    shares = [len(cases) / 4000 for _, cases in splits.items()]
    assert np.allclose(shares, (0.7, 0.15, 0.15), atol=4 * np.sqrt(0.25 / 4000))


def test_patients_never_cross_and_every_case_has_one_place():
    found = build_cases([number // 3 for number in range(300)])
    splits = split_by_patient(found, SplitConfig(seed=1))
    patients = [{case.patient for case in cases} for _, cases in splits.items()]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 100
    assert sorted(case.id for _, cases in splits.items() for case in cases) == [case.id for case in found.cases]


def test_order_within_a_split_is_that_of_the_cases():
    splits = split_by_patient(build_cases(range(100)), SplitConfig(seed=1))
    assert [case.id for case in splits.train] == sorted(case.id for case in splits.train)


@pytest.mark.parametrize("seed", range(5))
def test_files_that_are_added_or_taken_away_move_none(seed):
    rng = np.random.default_rng(seed)
    names = [f"p{number}" for number in range(200)]
    everything = assign(build_cases(names), SplitConfig(seed=seed))
    kept = [name for name in names if rng.random() < 0.4]
    part = assign(build_cases(kept), SplitConfig(seed=seed))
    assert part == {patient: everything[patient] for patient in part}


def test_seed_decides():
    first, again, other = (assign(build_cases(range(100)), SplitConfig(seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert assign(build_cases(range(100)), SplitConfig(seed=10**80))


@pytest.mark.parametrize("folds", [2, 5])
def test_each_patient_is_tested_in_exactly_one_fold(folds):
    found = build_cases([number // 2 for number in range(200)])
    tested = Counter()
    for fold in range(folds):
        splits = split_by_patient(found, SplitConfig(seed=0, folds=folds, fold=fold))
        tested.update(case.id for case in splits.test)
        assert sum(len(cases) for _, cases in splits.items()) == len(found.cases)
    assert tested == Counter(case.id for case in found.cases)


def test_rest_of_a_fold_is_divided_by_the_fractions():
    splits = split_by_patient(build_cases(range(4000)), SplitConfig(seed=0, folds=4, fractions=(0.6, 0.2, 0.2)))
    assert len(splits.train) / (len(splits.train) + len(splits.validation)) == pytest.approx(0.75, abs=0.03)


def test_fold_without_a_share_for_training():
    with pytest.raises(DataError, match=r"no case in train of fold 0 \(0 to 1\)"):
        split_by_patient(build_cases(range(50)), SplitConfig(seed=0, folds=2, fractions=(0, 0, 1)))


def test_split_that_would_be_empty():
    found = r"no case in validation \(train \d+, validation 0, test \d+; 50 patients\)\n.*Change split"
    with pytest.raises(DataError, match=found):
        split_by_patient(build_cases(range(50)), SplitConfig(seed=0, fractions=(0.8, 0, 0.2)))


def test_manifest_decides():
    names = ["test", "train", "validation", "train"]
    splits = split_by_patient(build_cases("abcd", names), SplitConfig(seed=0))
    assert [len(cases) for _, cases in splits.items()] == [2, 1, 1]
    assert splits.test[0].id == "case0000"
    with pytest.raises(DataError, match=r"take its 'split' column away"):
        split_by_patient(build_cases("abcd", names), SplitConfig(seed=0, folds=2))


def test_manifest_that_tears_a_patient_apart():
    found = build_cases("aabc", ["train", "test", "validation", "test"])
    with pytest.raises(
        DataError, match=r"one patient in different splits \(1\):\n +case0000 \(train\) and case0001 \(test\)\n"
    ):
        split_by_patient(found, SplitConfig(seed=0))
    assert split_by_patient(found, SplitConfig(seed=0, allow_duplicates=True))
    assert split_by_patient(found, SplitConfig(seed=0, patients="image"))


@pytest.mark.parametrize("splits", [None, ["train", "test", "validation", "train"]])
def test_placeholder_stops_the_split(splits):
    found = build_cases(["ANONYMOUS", "ANONYMOUS", "b", "c"], splits)
    with pytest.raises(DataError, match="share an empty or placeholder PatientID"):
        split_by_patient(found, SplitConfig(seed=0))


def test_each_image_another_patient():
    found = build_cases(["ANONYMOUS"] * 100)
    config = SplitConfig(seed=0, patients="image")
    assert len({case.patient for case in name_patients(found.cases, config)}) == 100
    splits = split_by_patient(found, config)
    assert min(len(cases) for _, cases in splits.items()) > 0
    named = build_cases([case.id for case in found.cases])  # as PNG files, whose patients are their names
    assert [c.id for c in splits.test] == [c.id for c in split_by_patient(named, SplitConfig(seed=0)).test]
