import io
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medseg.data.case import Case, CaseSet, MaskSource
from medseg.data.config import PreprocessConfig, SplitConfig
from medseg.data.phantom import draw_phantom
from medseg.data.preprocess import fit, scale_intensity
from medseg.data.splits import find_duplicates, split_by_patient
from medseg.errors import DataError
from medseg.radiograph.read import read_radiograph


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
    with pytest.raises(DataError, match="no case in train"):
        split_by_patient(build_cases(range(50)), SplitConfig(seed=0, folds=2, fractions=(0, 0, 1)))


def test_split_that_would_be_empty():
    with pytest.raises(DataError, match=r"no case in validation \(train \d+, validation 0, test \d+\); change split"):
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
    with pytest.raises(DataError, match=r"case0000 \(train\) and case0001 \(test\) \(1 in all\)"):
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
    splits = split_by_patient(found, SplitConfig(seed=0, patients="image"))
    assert min(len(cases) for _, cases in splits.items()) > 0
    named = build_cases([case.id for case in found.cases])  # as PNG files, whose patients are their names
    assert [c.id for c in splits.test] == [c.id for c in split_by_patient(named, SplitConfig(seed=0)).test]


def network_view(pixels):
    config = PreprocessConfig()
    return fit(torch.from_numpy(scale_intensity(pixels.astype(np.float32), None, config))[None], config)[0].numpy()


def through_jpeg(picture, quality):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def copy_picture(pixels, how):
    eight = np.round(pixels / pixels.max() * 255).astype(np.uint8)
    picture = Image.fromarray(eight)
    small = picture.resize((picture.width * 7 // 10, picture.height * 7 // 10), Image.Resampling.LANCZOS)
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)
    return {
        "jpeg": lambda: through_jpeg(picture, 85),
        "brightness": lambda: np.clip(eight * 0.8 + 40, 0, 255),
        "gamma": lambda: 255 * (eight / 255) ** 1.4,
        "resized": lambda: np.asarray(small),
        "half and jpeg": lambda: through_jpeg(half, 50),
    }[how]()


@pytest.fixture(scope="module")
def phantoms():
    return [draw_phantom(np.random.default_rng([11, index]), 256).pixels for index in range(24)]


@pytest.mark.parametrize("how", ["jpeg", "brightness", "gamma", "resized", "half and jpeg"])
def test_copies_across_splits_are_found(phantoms, how):
    originals = [network_view(pixels) for pixels in phantoms[:6]]
    copies = [network_view(copy_picture(pixels, how)) for pixels in phantoms[:6]]
    names = [f"a{n}" for n in range(6)] + [f"b{n}" for n in range(6)]
    found = find_duplicates(names, ["train"] * 6 + ["test"] * 6, originals + copies)
    assert found == [f"a{n} (train) and b{n} (test)" for n in range(6)]
    assert find_duplicates(names, ["train"] * 12, originals + copies) == []


def test_different_phantoms_are_not_flagged(phantoms):
    count = len(phantoms)
    splits = [str(number) for number in range(count)]
    assert find_duplicates([str(n) for n in range(count)], splits, map(network_view, phantoms)) == []


@pytest.mark.shared
@pytest.mark.parametrize("name", ["jsrt", "montgomery"])
def test_real_copies_are_found_and_different_patients_never(shared_data, name):
    files = sorted((shared_data / name / "images").iterdir())
    pixels = [read_radiograph(path).pixels for path in files]
    views = [network_view(picture) for picture in pixels]
    names = [path.stem for path in files]
    splits = [str(number) for number in range(len(files))]
    assert find_duplicates(names, splits, views) == []
    for how in ("jpeg", "brightness", "resized"):
        copies = [network_view(copy_picture(picture, how)) for picture in pixels[:6]]
        found = find_duplicates([*names, *range(6)], [*splits, *["copy"] * 6], views + copies)
        assert found == [f"{names[n]} ({n}) and {n} (copy)" for n in range(6)]


def test_flat_pictures_are_no_copies():
    flat = [np.full((64, 64), level, np.float32) for level in (0, 0, 0.5, 1)]
    assert find_duplicates("abcd", ["train", "test", "train", "test"], flat) == []


def test_many_pictures_take_seconds():
    rng = np.random.default_rng(0)
    pictures = rng.random((40, 64, 64), np.float32)
    began = time.perf_counter()
    found = find_duplicates(
        [str(n) for n in range(2000)], ["train", "test"] * 1000, (pictures[n % 39] for n in range(2000))
    )
    assert time.perf_counter() - began < 30  # alone on the machine: 4 s
    assert len(found) > 1000
