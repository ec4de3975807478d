import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from medseg.data.case import Case, CaseSet, MaskSource
from medseg.data.config import SplitConfig
from medseg.data.splits import RULE, name_patients, split_by_patient
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


def count_patients(cases):
    return len({case.patient for case in cases})


FRACTIONS = [(0.7, 0.15, 0.15), (0.6, 0.2, 0.2), (0.05, 0.05, 0.9), (0.98, 0.01, 0.01), (0.25, 0.5, 0.25)]


@pytest.mark.slow
@pytest.mark.parametrize("fractions", FRACTIONS)
def test_quotas_are_met_to_within_one_patient(fractions):
    for number in range(3, 201):
        found = build_cases([case % number for case in range(2 * number + 1)])
        splits = split_by_patient(found, SplitConfig(seed=number, fractions=fractions))
        counts = [count_patients(cases) for _, cases in splits.items()]
        assert sum(counts) == number
        assert sum(len(cases) for _, cases in splits.items()) == len(found.cases)
        for count, fraction in zip(counts, fractions, strict=True):
            exact = Fraction(str(fraction)) * number
            if min(Fraction(str(f)) * number for f in fractions) >= 1:
                assert math.floor(exact) <= count <= math.ceil(exact)
            assert count >= 1


@pytest.mark.slow
@pytest.mark.parametrize("folds", [2, 3, 4, 5, 10])
def test_folds_are_of_one_size_and_each_leaves_a_training(folds):
    for number in range(max(folds, 4 if folds == 2 else 3), 101):
        found = build_cases([case % number for case in range(2 * number + 1)])
        tested = Counter()
        for fold in range(folds):
            splits = split_by_patient(found, SplitConfig(seed=number, folds=folds, fold=fold))
            assert count_patients(splits.test) in (number // folds, -(-number // folds))
            assert min(len(splits.train), len(splits.validation)) >= 1
            assert sum(len(cases) for _, cases in splits.items()) == len(found.cases)
            tested.update(case.id for case in splits.test)
        assert tested == Counter(case.id for case in found.cases)


@pytest.mark.parametrize(("folds", "least"), [(None, 3), (2, 4), (3, 3), (5, 5)])
def test_too_few_patients_are_counted(folds, least):
    found = build_cases([number % (least - 1) for number in range(20)])
    said = f"too few patients .*\n.* at least {least} patients; this data set has {least - 1}\n"
    with pytest.raises(DataError, match=said):
        split_by_patient(found, SplitConfig(seed=0, folds=folds))


def test_patients_never_cross_and_every_case_has_one_place():
    found = build_cases([number // 3 for number in range(300)])
    splits = split_by_patient(found, SplitConfig(seed=1))
    patients = [{case.patient for case in cases} for _, cases in splits.items()]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 100
    assert sorted(case.id for _, cases in splits.items() for case in cases) == [case.id for case in found.cases]


def test_order_within_a_split_is_that_of_the_cases():
    splits = split_by_patient(build_cases(range(100)), SplitConfig(seed=1))
    assert [case.id for case in splits.train] == sorted(case.id for case in splits.train)


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "borders"), [({}, 2), ({"folds": 5, "fold": 2}, 4)])
def test_added_patient_moves_about_one_at_each_border(settings, borders):
    names = [f"p{number}" for number in range(200)]
    for number in range(5, 200):
        before, after = (assign(build_cases(names[:n]), SplitConfig(seed=0, **settings)) for n in (number, number + 1))
        assert sum(before[patient] != after[patient] for patient in before) <= borders


def test_images_that_are_added_to_a_patient_move_none():
    before, after = (assign(build_cases(list(range(50)) * n), SplitConfig(seed=0)) for n in (1, 3))
    assert before == after


def test_seed_decides():
    assert split_by_patient(build_cases(range(9)), SplitConfig(seed=0)).rule == RULE
    first, again, other = (assign(build_cases(range(100)), SplitConfig(seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert assign(build_cases(range(100)), SplitConfig(seed=10**80))


def test_rest_of_a_fold_is_divided_by_the_fractions():
    splits = split_by_patient(build_cases(range(80)), SplitConfig(seed=0, folds=4, fractions=(0.6, 0.2, 0.2)))
    assert [len(cases) for _, cases in splits.items()] == [45, 15, 20]


def test_fold_without_a_share_for_training():
    with pytest.raises(DataError, match=r"no case in train of fold 0 \(0 to 1\)"):
        split_by_patient(build_cases(range(50)), SplitConfig(seed=0, folds=2, fractions=(0, 0, 1)))


def test_split_that_would_be_empty():
    found = r"no case in validation \(cases: train 40, validation 0, test 10; 50 patients\)\n.*change split"
    with pytest.raises(DataError, match=found):
        split_by_patient(build_cases(range(50)), SplitConfig(seed=0, fractions=(0.8, 0, 0.2)))


def test_manifest_decides():
    names = ["test", "train", "validation", "train"]
    splits = split_by_patient(build_cases("abcd", names), SplitConfig(seed=0))
    assert [len(cases) for _, cases in splits.items()] == [2, 1, 1]
    assert splits.rule is None
    assert splits.test[0].id == "case0000"
    with pytest.raises(DataError, match=r"Remove the manifest's 'split' column"):
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
