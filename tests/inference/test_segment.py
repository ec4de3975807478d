import numpy as np
import pytest
import torch

from medseg.data.config import PreprocessConfig
from medseg.data.frame import whole
from medseg.inference.decision import Decision
from medseg.inference.segment import segment
from medseg.model.checkpoint import Range

DECISION = Decision(("lungs", "heart"), PreprocessConfig(size=(40, 40)), (0.5, 0.5), {}, False)


def predict():
    """Two lungs that span 32 of 40 columns, and a heart of 16."""
    maps = torch.zeros(2, 40, 40)
    maps[0, 5:35, 4:15], maps[0, 5:35, 25:36], maps[1, 20:32, 12:28] = 0.9, 0.8, 0.7
    return maps


@pytest.mark.parametrize(("view", "expected"), [("PA", 0.5), ("AP", 0.5), ("LL", None), (None, None)])
def test_the_view_decides_whether_there_is_a_cardiothoracic_ratio(view, expected):
    found = segment(DECISION, {}, predict(), whole((40, 40)), view)
    assert found.masks.shape == (2, 40, 40)
    assert np.array_equal(found.masks, predict() >= 0.5)
    assert {name: each.value for name, each in found.measured.items()} == ({"ctr": expected} if expected else {})
    assert any("AP view" in warning for warning in found.warnings) == (view == "AP")


def test_a_ratio_is_left_out_if_a_mask_is_implausible_or_in_pieces():
    maps = predict()
    small = Range(area=(0.0, 0.01), row=(0.0, 1.0), column=(0.0, 1.0))
    found = segment(DECISION, {"lungs": small}, maps, whole((40, 40)), "PA")
    assert found.measured == {}
    assert found.warnings == ("implausible_lungs", "no ctr: implausible_lungs")
    maps[1, 25] = 0
    found = segment(DECISION, {}, maps, whole((40, 40)), "PA")
    assert found.measured == {}
    assert found.warnings == ("no ctr: the heart mask has 2 pieces",)


def test_empty_and_implausible_masks_are_told():
    maps = predict()
    maps[1] = 0
    small = Range(area=(0.0, 0.01), row=(0.0, 1.0), column=(0.0, 1.0))
    found = segment(DECISION, {"lungs": small, "heart": small}, maps, whole((80, 80)), "PA")
    assert found.warnings == ("empty_heart", "implausible_lungs")
    assert found.masks.shape == (2, 80, 80)
