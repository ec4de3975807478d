import math

import pytest
import torch

from medseg.training.config import LossConfig
from medseg.training.losses import MaskedLoss

ALL = torch.ones(1, 1, dtype=torch.bool)


def maps(*rows: list[float]) -> torch.Tensor:
    return torch.tensor([[list(rows)]])


def test_bce_equals_the_articles_sigmoid_and_bceloss() -> None:
    logits = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    labels = (logits > 0.3).float()
    found = MaskedLoss(LossConfig(name="bce"))(logits, (labels, torch.ones(2, 3, dtype=torch.bool)))
    assert found.item() == pytest.approx(torch.nn.BCELoss()(logits.sigmoid(), labels).item(), rel=1e-5)


def test_dice_by_hand() -> None:
    # probabilities .5 everywhere, two of four pixels foreground: 1 - 2 * 1 / (2 + 2)
    found = MaskedLoss(LossConfig(name="dice"))(maps([0.0, 0.0], [0.0, 0.0]), (maps([1.0, 1.0], [0.0, 0.0]), ALL))
    assert found.item() == pytest.approx(0.5, abs=1e-4)


def test_sum_of_both() -> None:
    found = MaskedLoss(LossConfig())(maps([0.0, 0.0], [0.0, 0.0]), (maps([1.0, 1.0], [0.0, 0.0]), ALL))
    assert found.item() == pytest.approx(math.log(2) + 0.5, abs=1e-4)


@pytest.mark.parametrize("name", ["bce", "dice", "bce_dice"])
def test_unknown_class_has_neither_value_nor_gradient(name: str) -> None:
    logits = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.zeros(2, 2, 4, 4)
    present = torch.tensor([[True, False], [True, True]])
    loss = MaskedLoss(LossConfig(name=name))  # type: ignore[arg-type]
    value = loss(logits, (labels, present))
    value.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1].abs().sum() == 0
    assert logits.grad[1, 1].abs().sum() > 0
    changed = labels.clone()
    changed[0, 1] = 1
    assert loss(logits, (changed, present)).item() == pytest.approx(value.item())


def test_no_known_class_at_all_is_zero_not_nan() -> None:
    assert MaskedLoss(LossConfig())(maps([1.0]), (maps([1.0]), ~ALL)).item() == 0


@pytest.mark.parametrize("name", ["bce", "dice", "bce_dice"])
def test_ignored_pixels_have_neither_value_nor_gradient(name: str) -> None:
    """The loss equals that of the other pixels, here of the left half."""
    logits = torch.randn(2, 2, 4, 6, generator=torch.Generator().manual_seed(2), requires_grad=True)
    labels = (torch.randn(2, 2, 4, 6, generator=torch.Generator().manual_seed(3)) > 0).float()
    ignored, present = torch.zeros(2, 2, 4, 6, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    ignored[..., 3:] = True
    loss = MaskedLoss(LossConfig(name=name))  # type: ignore[arg-type]
    value = loss(logits, (labels, present, ignored))
    value.backward()
    assert value.item() == pytest.approx(loss(logits[..., :3], (labels[..., :3], present)).item(), rel=1e-6)
    assert logits.grad is not None
    assert (logits.grad[..., 3:] == 0).all()
    assert (logits.grad[..., :3] != 0).all()


def test_everything_ignored_is_zero_not_nan() -> None:
    assert MaskedLoss(LossConfig())(maps([1.0]), (maps([1.0]), ALL, maps([1.0]).bool())).item() == pytest.approx(0)
