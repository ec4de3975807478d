import math
from dataclasses import replace

import numpy as np
import pytest

from medseg.evaluation.compare import compare_cases, pair_cases, warn_of_few
from tests.support.evaluated_models import result


def test_the_sign_is_other_minus_this_and_holm_goes_over_classes() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(30):
        a, b = rng.uniform(0.6, 0.9, 2)
        ours = result(str(index), dice_a=a, dice_b=b)
        theirs = result(str(index), dice_a=a + 0.05 + rng.normal(0, 0.01), dice_b=b + rng.normal(0, 0.01))
        pairs.append((ours, theirs))
    comparison = compare_cases(pairs, ["a", "b"], "px", "other", 0)
    assert comparison.differences["dice_a"].difference == pytest.approx(0.05, abs=0.01)
    assert comparison.adjusted["dice_a"] == pytest.approx(2 * comparison.differences["dice_a"].p_value)
    assert comparison.adjusted["dice_a"] < 0.01 < comparison.adjusted["dice_b"]
    assert comparison.differences["dice"].difference == pytest.approx(0.025, abs=0.01)
    assert comparison.adjusted["dice"] == comparison.differences["dice"].p_value


def test_distances_are_compared_in_one_unit() -> None:
    pairs = [
        (result("1", unit="mm", hd95_a=1.0), result("1", unit="px", hd95_a=9.0)),
        (result("2", unit="mm", hd95_a=1.0), result("2", unit="mm", hd95_a=3.0)),
        (result("3", unit="px", hd95_a=1.0), result("3", unit="px", hd95_a=6.0)),
    ]
    for unit, difference in (("mm", 2), ("px", 5)):
        assert compare_cases(pairs, ["a"], unit, "other", 0).differences["hd95_a"].difference == difference


@pytest.mark.parametrize(
    ("subset", "same_files", "compared", "said"),
    [
        (
            "unseen",
            False,
            "14",
            ["other has different pixels under the same case name", "not compared: other was trained or validated on"],
        ),
        (
            "all",
            False,
            "134",
            ["other has different pixels under the same case name", "compared: other was trained or validated on"],
        ),
        ("unseen", True, "124", ["not compared: other was trained or validated on these (1 case)"]),
    ],
)
def test_pairs_are_of_the_same_pixels(subset: str, same_files: bool, compared: str, said: list[str]) -> None:
    ours = [replace(result(name, dice_a=0.5), digest=name * 16) for name in "12345"]
    theirs = [
        replace(result("1"), digest="1" * 16),
        replace(result("2"), digest="9" * 16),
        replace(result("3"), digest="3" * 16, seen="training"),
        result("4"),
    ]
    pairs, notes = pair_cases(ours, theirs, "other", subset, same_files=same_files)
    assert "".join(ours.case for ours, theirs in pairs if ours.case == theirs.case) == compared
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))


def test_the_cases_that_moved_most_come_first() -> None:
    pairs = [
        (result("1", dice_a=0.9, dice_b=0.5), result("1", dice_a=0.9, dice_b=0.6)),
        (result("2", dice_a=0.9, dice_b=0.5), result("2", dice_a=0.4, dice_b=0.6)),
        (result("3", dice_a=0.9, dice_b=0.5), result("3", dice_a=0.9, dice_b=0.5)),
        (result("4", dice_a=math.nan, dice_b=0.5), result("4", dice_a=0.9, dice_b=0.7)),
    ]
    moved = compare_cases(pairs, ["a", "b"], "px", "other", 0).moved
    assert [row[:2] for row in moved] == [("2", "dice_a"), ("4", "dice_b"), ("1", "dice_b")]


@pytest.mark.parametrize(
    ("patients", "classes", "needed"), [(6, "ab", 7), (7, "ab", None), (5, "a", 6), (6, "a", None), (7, "abcd", 8)]
)
def test_so_few_patients_that_nothing_can_be_significant(patients: int, classes: str, needed: int | None) -> None:
    """All of them better in every class: the least p-value that there is."""
    pairs = [
        (result(f"{i}", **{f"dice_{c}": 0.5 for c in classes}), result(f"{i}", **{f"dice_{c}": 0.9 for c in classes}))
        for i in range(patients)
    ]
    pairs.append(pairs[0])  # a patient's second case
    comparison = compare_cases(pairs, list(classes), "px", "other", 0)
    assert comparison.patients == patients
    assert (min(comparison.adjusted[f"dice_{c}"] for c in classes) < 0.05) == (needed is None)
    warnings = warn_of_few(comparison)
    assert len(warnings) == (needed is not None)
    assert all(text.startswith(f"{patients} patients") and f"fewer than {needed}" in text for text in warnings)
