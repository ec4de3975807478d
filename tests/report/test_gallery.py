import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from medseg.evaluation.ranking import choose_cases, rank_cases
from medseg.evaluation.result import CaseResult, Comparison, Evaluation
from medseg.report.gallery import build_gallery, trace_contours


def draw_case(name: str, *dice: float, picture: np.ndarray | None = None) -> CaseResult:
    scores = {f"dice_{label}": value for label, value in zip("ab", dice, strict=False)}
    return CaseResult(name, name, "mm", scores, picture=picture)


def evaluate(cases: list[CaseResult], comparison: Comparison | None = None, shown: int = 6) -> Evaluation:
    return Evaluation("0" * 16, "data", "unseen", 0, ("a", "b"), cases, [], comparison=comparison, shown=shown)


def fill(path: str, shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centers lie within the rings of a path, by even-odd."""
    filled = np.zeros(shape, bool)
    for ring in re.findall(r"M([\d.-]+) ([\d.-]+)l([^z]*)z", path):
        steps = np.array(ring[2].split(), float).reshape(-1, 2)
        points = np.cumsum([[float(ring[0]), float(ring[1])], *steps], axis=0)
        large = Image.new("1", (shape[1] * 8, shape[0] * 8))
        ImageDraw.Draw(large).polygon([tuple(point) for point in points * 8], fill=1)
        filled ^= np.asarray(large)[4::8, 4::8]
    return filled


def test_contours_enclose_the_mask():
    rows, columns = np.mgrid[:90, :120]
    mask = np.hypot(rows - 40, columns - 60) < 32
    mask &= ~(np.hypot(rows - 40, columns - 60) < 10)  # a hole
    mask[80:, 100:] = True  # to the picture's corner
    path = trace_contours(mask)
    assert path.count("M") == 3
    wrong = fill(path, mask.shape) ^ mask
    assert wrong.sum() < 0.02 * mask.sum()
    assert len(path) < 700


@pytest.mark.parametrize(("mask", "rings"), [(np.zeros((9, 9), bool), 0), (np.eye(9, dtype=bool), 9)])
def test_contours_of_next_to_nothing(mask, rings):
    assert trace_contours(mask).count("M") in (rings, min(rings, 1))


def test_cases_are_ranked_by_their_mean_over_the_classes_they_know():
    cases = [draw_case("x", 0.9, 0.5), draw_case("y", 0.8, np.nan), draw_case("z", np.nan, np.nan), draw_case("w", 0.1)]
    assert [(score, case.case) for score, case in rank_cases(cases, ("a", "b"))] == [(0.1, "w"), (0.7, "x"), (0.8, "y")]


@pytest.mark.parametrize(("number", "chosen"), [(1, [0, 5, 10]), (2, [0, 1, 4, 5, 9, 10]), (9, list(range(11)))])
def test_worst_median_and_best_are_chosen(number, chosen):
    cases = [draw_case(f"{place:02d}", place / 10) for place in range(11)]
    assert [int(case.case) for case in choose_cases(cases[::-1], ("a",), number)] == chosen


def test_each_case_stands_in_its_group():
    picture = np.zeros((8, 8), np.uint8)
    cases = [draw_case(f"{place:02d}", place / 40) for place in range(40)]
    cases = [replace(case, picture=picture) if int(case.case) in (0, 12, 20, 39) else case for case in cases]
    moved = Comparison("other", {}, {}, [("12", "dice_a", 0.3, 0.9), ("00", "dice_a", 0.0, 0.9)])
    shown = build_gallery(evaluate(cases, moved))
    assert [(item.place.group, item.place.rank, item.place.moved) for item in shown] == [
        ("worst", 1, True),
        ("changed most", 13, True),
        ("median", 21, False),
        ("best", 40, False),
    ]


@pytest.mark.parametrize(("number", "group"), [(1, "changed most"), (2, "worst")])
def test_a_case_that_moved_is_of_a_group_where_so_many_are_shown(number: int, group: str):
    cases = [draw_case(f"{place:02d}", place / 20, picture=np.zeros((8, 8), np.uint8)) for place in range(20)]
    moved = Comparison("other", {}, {}, [("01", "dice_a", 0.3, 0.9)])
    assert build_gallery(evaluate(cases, moved, number))[1].place.group == group


@pytest.mark.slow
def test_pictures_shrink_until_they_fit():
    noise = np.random.default_rng(0).integers(0, 256, (512, 400), np.uint8)
    cases = [draw_case(f"{place:02d}", place / 40, picture=noise) for place in range(30)]
    shown = build_gallery(evaluate(cases))
    assert 2e6 < sum(len(item.picture) for item in shown) <= 4.01e6
    assert (shown[0].rows, shown[0].columns) == (512, 400), "contours keep the preview's size"
