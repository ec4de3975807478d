import pytest
import torch

from medseg.data.config import DataConfig
from medseg.data.frame import whole
from medseg.data.loaders import CachedCases, CaseFacts
from medseg.training.card import describe_input, measure_ranges, summarize_extents


def facts(modality: str | None, part: str | None = None, view: str | None = None) -> CaseFacts:
    return CaseFacts("x", "", "", modality, part, view, None, None, whole((8, 8)))


def test_accepts_what_the_training_images_say() -> None:
    accepts = describe_input([facts("DX", "CHEST", "PA"), facts("CR", "CHEST", "AP"), facts(None)], DataConfig())
    assert accepts.modalities == ("CR", "DX")
    assert accepts.body_parts == ("CHEST",)
    assert accepts.views == ("AP", "PA")


def test_accepts_cr_and_dx_of_anything_where_nothing_is_said() -> None:
    accepts = describe_input([facts(None)], DataConfig())
    assert (accepts.modalities, accepts.body_parts, accepts.views) == (("CR", "DX"), (), ())


def test_configuration_comes_first() -> None:
    accepts = describe_input([facts("DX", "CHEST")], DataConfig(modalities=("MG",), body_parts=()))
    assert (accepts.modalities, accepts.body_parts) == (("MG",), ())


def test_ranges_by_hand_leave_empty_masks_out() -> None:
    labels = torch.zeros(3, 1, 4, 8, dtype=torch.uint8)
    labels[0, 0, 0, 0] = 1  # one pixel of 32, center at (.125, .0625)
    labels[1, 0, 2:4, 4:8] = 1  # 8 of 32, center at (.75, .75)
    cached = CachedCases((facts(None),) * 3, torch.zeros(3, 1, 4, 8), labels, torch.ones(3, 1, dtype=torch.bool))
    found = measure_ranges(cached, ["lungs"])["lungs"]
    assert found.area == pytest.approx((1 / 32, 8 / 32))
    assert found.row == pytest.approx((0.125, 0.75))
    assert found.column == pytest.approx((0.0625, 0.75))
    assert found.outline == pytest.approx((4, 12 / 8**0.5))


def test_extents_are_of_all_classes_and_of_images_that_have_them() -> None:
    labels, present = torch.zeros(5, 2, 10, 20, dtype=torch.uint8), torch.ones(5, 2, dtype=torch.bool)
    labels[0, 0, 2:8, 4:6] = 1  # 6 of 10 rows
    labels[1, 0, 0, 0] = labels[1, 1, 3, 15] = 1  # 16 of 20 columns, between the two
    labels[2, 1, 1:6, 0:2] = 1  # 5 of 10 rows
    labels[3, 0, 0, 0], present[3, 1] = 1, False  # the other class is not known
    cached = CachedCases((facts(None),) * 5, torch.zeros(5, 1, 10, 20), labels, present)
    found = summarize_extents(cached)
    assert found is not None
    assert (found.smallest, found.usual) == pytest.approx((0.5, 0.6))
    assert summarize_extents(cached.select(slice(3, 5))) is None


def test_other_text_in_a_tag_does_not_go_into_the_model_file() -> None:
    accepts = describe_input([facts("DX", "DOE JANE", "PA"), facts("DOE", "CHEST", "AP DOE")], DataConfig())
    assert (accepts.modalities, accepts.body_parts, accepts.views) == (("DX",), ("CHEST",), ("PA",))
