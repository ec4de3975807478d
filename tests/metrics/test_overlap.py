import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from medseg.metrics.overlap import SegmentationScores, ThresholdSearch


def score(prediction: torch.Tensor, reference: torch.Tensor, present: torch.Tensor | None = None, parts: int = 1):  # type: ignore[no-untyped-def]
    classes = ["a", "b", "c"][: prediction.shape[1]]
    present = torch.ones(prediction.shape[:2], dtype=torch.bool) if present is None else present
    metric = SegmentationScores(classes)
    for chunk in zip(prediction.chunk(parts), reference.chunk(parts), present.chunk(parts), strict=True):
        metric.update(chunk)
    return metric.compute()


def mask(text: str) -> torch.Tensor:
    """Rows of 0 and 1 as `(1, 1, rows, columns)`."""
    return torch.tensor([[[[c == "1" for c in row] for row in text.split()]]])


def test_hand_worked_overlap() -> None:
    # 2 pixels predicted, 3 in the reference, 1 in both, 4 of 6 pixels in either
    scores = score(mask("110 000"), mask("010 011"))
    assert scores["dice_a"] == pytest.approx(2 / 5)
    assert scores["iou_a"] == pytest.approx(1 / 4)
    # background: both 2, either 6 - 1 = 5
    assert scores["miou"] == pytest.approx((1 / 4 + 2 / 5) / 2)


def test_both_empty_counts_1_one_empty_0() -> None:
    empty, full = mask("000 000"), mask("010 000")
    assert score(empty, empty)["dice_a"] == score(empty, empty)["iou_a"] == 1
    assert score(full, empty)["dice_a"] == score(full, empty)["iou_a"] == 0
    assert score(empty, full)["dice_a"] == score(empty, full)["iou_a"] == 0
    assert score(empty, empty)["miou"] == 1


def test_dice_is_a_mean_over_cases_and_miou_one_matrix_over_the_set() -> None:
    prediction = torch.cat([mask("1111 1111"), mask("1000 0000")])
    reference = torch.cat([mask("1111 1111"), mask("0100 0000")])
    scores = score(prediction, reference)
    assert scores["dice_a"] == pytest.approx((1 + 0) / 2)
    assert scores["miou"] == pytest.approx((8 / 10 + 6 / 8) / 2)


def test_classes_overlap_and_are_scored_on_their_own() -> None:
    prediction = torch.cat([mask("11 10"), mask("11 10")], dim=1)
    reference = torch.cat([mask("11 10"), mask("10 00")], dim=1)
    scores = score(prediction, reference)
    assert scores["dice_a"] == 1
    assert scores["dice_b"] == pytest.approx(2 / 4)
    assert scores["dice"] == pytest.approx((1 + 2 / 4) / 2)
    assert scores["iou"] == pytest.approx((1 + 1 / 3) / 2)
    assert scores["miou"] == pytest.approx((1 + (1 / 3 + 1 / 3) / 2) / 2)


def test_unknown_class_of_a_case_is_left_out() -> None:
    prediction = torch.cat([torch.cat([mask("11 00")] * 2, dim=1), torch.cat([mask("11 00"), mask("00 11")], dim=1)])
    reference = torch.cat([mask("11 00")] * 2, dim=1).repeat(2, 1, 1, 1)
    scores = score(prediction, reference, torch.tensor([[True, True], [True, False]]))
    assert scores["dice_b"] == 1
    assert scores["miou"] == 1
    nobody = score(prediction, reference, torch.tensor([[True, False], [True, False]]))
    assert "dice_b" not in nobody
    assert nobody["dice"] == nobody["dice_a"] == 1


def test_ignored_pixels_count_as_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    prediction, reference = (torch.rand(2, 2, 6, 8, generator=generator) < 0.4 for _ in range(2))
    ignored = torch.zeros_like(reference)
    ignored[..., 5:] = True
    metric = SegmentationScores(["a", "b"])
    metric.update((prediction, reference, torch.ones(2, 2, dtype=torch.bool), ignored))
    assert metric.compute() == score(prediction[..., :5], reference[..., :5])


@pytest.mark.parametrize("parts", [1, 3])
def test_agrees_with_scikit_learn(parts: int) -> None:
    rng = np.random.default_rng(3)
    prediction, reference = (rng.random((6, 3, 9, 8)) < [[[[0.3]], [[0.5]], [[0.7]]]] for _ in range(2))
    scores = score(torch.from_numpy(prediction), torch.from_numpy(reference), parts=parts)
    wanted = []
    for index, name in enumerate("abc"):
        pairs = [(r.ravel(), p.ravel()) for r, p in zip(reference[:, index], prediction[:, index], strict=True)]
        assert scores[f"dice_{name}"] == pytest.approx(np.mean([f1_score(r, p) for r, p in pairs]))
        assert scores[f"iou_{name}"] == pytest.approx(np.mean([jaccard_score(r, p) for r, p in pairs]))
        wanted.append(jaccard_score(reference[:, index].ravel(), prediction[:, index].ravel(), average=None).mean())
    assert scores["miou"] == pytest.approx(np.mean(wanted))


def test_best_threshold_is_found() -> None:
    reference = mask("1100 0000")[0]
    probabilities = torch.tensor([[[0.32, 0.41, 0.28, 0.1], [0.0, 0.05, 0.2, 0.22]]])
    search = ThresholdSearch(["a"], num_bins=20)
    search.update(probabilities, reference, torch.tensor([True]))
    assert search.compute() == {"a": pytest.approx(0.3)}


def test_best_threshold_nearest_to_half_of_equally_good_ones() -> None:
    search = ThresholdSearch(["a", "b"], num_bins=20)
    probabilities = torch.tensor([[[0.93, 0.02]], [[0.93, 0.02]]])
    search.update(probabilities, torch.tensor([[[True, False]], [[True, False]]]), torch.tensor([True, False]))
    assert search.compute() == {"a": pytest.approx(0.5), "b": pytest.approx(0.5)}


def test_threshold_dice_equals_that_of_cut_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    cases = [
        (torch.rand(1, 7, 6, generator=generator), torch.rand(1, 7, 6, generator=generator) < 0.4) for _ in range(4)
    ]
    search = ThresholdSearch(["a"], num_bins=10)
    for probabilities, reference in cases:
        search.update(probabilities, reference, torch.tensor([True]))
    dice = {
        t / 10: np.mean([f1_score(r.numpy().ravel(), (p >= t / 10).numpy().ravel()) for p, r in cases])
        for t in range(1, 10)
    }
    assert search.compute()["a"] == pytest.approx(max(dice, key=dice.get))  # type: ignore[arg-type]
