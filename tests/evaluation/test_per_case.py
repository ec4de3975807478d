import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from medseg.data.config import EvaluateDataConfig
from medseg.evaluation.candidate import Candidate, ReadCase
from medseg.evaluation.per_case import CaseMeasurement, measure_case
from tests.support.evaluated_models import place, write_shapes_model

CHEST = {"heart": (slice(14, 24), slice(10, 20)), "lungs": (slice(4, 28), slice(4, 12))}
RIGHT_LUNG = (slice(4, 28), slice(18, 28))


def draw_chest() -> torch.Tensor:
    """Heart and lungs `(2, 32, 32)`: the heart 10 columns wide, the chest 24, from 4 to 27."""
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0][CHEST["heart"]] = True
    masks[1][CHEST["lungs"]] = True
    masks[1][RIGHT_LUNG] = True
    return masks


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Candidate, ReadCase]:
    """One case of the size of the network's input, so that probabilities of 0 and 1 are its masks."""
    root = tmp_path_factory.mktemp("chest")
    picture = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    for folder, pixels in (
        ("images", picture),
        *((f"masks/{name}", mask.numpy()) for name, mask in zip(CHEST, draw_chest(), strict=True)),
    ):
        (root / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(root / folder / "a.png")
    model = write_shapes_model(root / "a.pt", classes=tuple(CHEST))
    candidate, found = place(model, EvaluateDataConfig(root=root))
    return candidate, candidate.read(found.cases[0])


def measure(candidate: Candidate, read: ReadCase, masks: torch.Tensor) -> CaseMeasurement:
    return measure_case(candidate, read, masks.float(), "p001", {})


def test_a_prediction_that_is_the_reference(chest: tuple[Candidate, ReadCase]) -> None:
    scores = measure(*chest, draw_chest()).result.scores
    for name in CHEST:
        found = [scores[f"{metric}_{name}"] for metric in ("dice", "iou", "hd95", "assd", "nsd", "area_error")]
        assert found == [1, 1, 0, 0, 1, 0]
    assert scores["ctr_reference"] == scores["ctr_prediction"] == pytest.approx(10 / 24)
    assert scores["ctr_error"] == 0


def test_errors_by_hand(chest: tuple[Candidate, ReadCase]) -> None:
    masks = draw_chest()
    masks[0][14:24, 20:23] = True  # 3 columns more of heart
    scores = measure(*chest, masks).result.scores
    assert scores["dice_heart"] == pytest.approx(2 * 100 / 230)
    assert scores["iou_heart"] == pytest.approx(100 / 130)
    assert scores["area_error_heart"] == pytest.approx(0.3)
    assert scores["hd95_heart"] == 3
    assert scores["ctr_error"] == pytest.approx(3 / 24)
    assert scores["dice_lungs"] == 1


def test_what_the_case_does_not_know_is_missing(chest: tuple[Candidate, ReadCase]) -> None:
    candidate, read = chest
    present = torch.tensor([True, False])
    unknown = replace(read, present=present, reference=read.reference & present[:, None, None])
    measured = measure(candidate, unknown, draw_chest())
    lungs = {name: value for name, value in measured.result.scores.items() if name.endswith("lungs")}
    assert len(lungs) == 6
    assert all(math.isnan(value) for value in lungs.values())
    assert math.isnan(measured.result.scores["ctr_error"])
    assert measured.counts[1].tolist() == [0, 0, 0]
    assert measured.calibration[1].pixels.sum() == 0
    assert measured.result.scores["dice_heart"] == 1


def test_ignored_pixels_count_as_nothing(chest: tuple[Candidate, ReadCase]) -> None:
    candidate, read = chest
    ignored = torch.zeros(2, 32, 32, dtype=torch.bool)
    ignored[:, 26:] = True
    masks = draw_chest()
    masks[0][20:] = True
    measured = measure(candidate, replace(read, ignored=ignored, reference=read.reference & ~ignored), masks)
    own, true = masks[:, :26], read.reference[:, :26]
    counts = [[each.sum().item() for each in (a & b, a | b, a | ~a)] for a, b in zip(own, true, strict=True)]
    assert measured.counts.tolist() == counts
    assert measured.result.scores["iou_heart"] == pytest.approx(counts[0][0] / counts[0][1])


def test_an_empty_prediction_has_no_distances_and_lacks_the_whole_area(chest: tuple[Candidate, ReadCase]) -> None:
    scores = measure(*chest, torch.zeros(2, 32, 32)).result.scores
    assert (scores["dice_heart"], scores["area_error_heart"]) == (0, -1)
    assert all(math.isnan(scores[name]) for name in ("hd95_heart", "assd_heart", "nsd_heart", "ctr_prediction"))


def test_scores_have_no_more_digits_than_the_table(chest: tuple[Candidate, ReadCase]) -> None:
    masks = draw_chest()
    masks[0][14, 10] = False
    score = measure(*chest, masks).result.scores["dice_heart"]
    assert score == pytest.approx(198 / 199, abs=1e-7)
    assert score == float(f"{score:.8g}")


def test_burned_in_names_are_not_shown(chest: tuple[Candidate, ReadCase]) -> None:
    candidate, read = chest
    assert measure(candidate, read, draw_chest()).show().picture is not None
    image = read.shown.image.clone()
    image.meta["burned_in"] = True
    measured = measure(candidate, replace(read, shown=replace(read.shown, image=image)), draw_chest())
    assert measured.show().picture is None
    assert measured.warnings[-1] == "burned-in annotation: no image in the report"
