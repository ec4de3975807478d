import numpy as np
import pytest
import torch
from torch import nn

from medseg.data.config import PreprocessConfig
from medseg.inference.config import PredictConfig
from medseg.inference.predictor import Predictor
from medseg.model.checkpoint import ModelCard
from medseg.model.config import ModelConfig
from medseg.training.precision import AutocastInferer


class Constant(nn.Module):
    """Logits that stand in its only parameter, whatever the input."""

    def __init__(self, probabilities: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.logit(probabilities))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), *self.logits.shape)


def predictor(probabilities: torch.Tensor, threshold: float | str = 0.5, **preprocess: object) -> Predictor:
    card = ModelCard(
        classes=("a", "b"),
        model=ModelConfig(),
        preprocess=PreprocessConfig(size=(16, 16), **preprocess),  # type: ignore[arg-type]
        thresholds={"a": 0.3},
    )
    inferer = AutocastInferer(enabled=False, channels_last=False)
    return Predictor(card, [Constant(probabilities)], inferer, PredictConfig(threshold=threshold))  # type: ignore[arg-type]


def test_probabilities_are_the_sigmoid_of_the_logits() -> None:
    wanted = torch.linspace(0.1, 0.9, 512).reshape(2, 16, 16)
    found = predictor(wanted).predict(torch.zeros(3, 1, 16, 16))
    assert found.shape == (3, 2, 16, 16)
    torch.testing.assert_close(found[1], wanted)


def test_threshold_is_inclusive_and_half_by_default() -> None:
    maps = torch.full((2, 16, 16), 0.5)
    maps[1] = 0.4999
    masks = predictor(maps).masks(maps, (16, 16))
    assert masks[0].all()
    assert not masks[1].any()


def test_best_threshold_is_the_models_and_half_where_it_has_none() -> None:
    maps = torch.full((2, 16, 16), 0.4)
    masks = predictor(maps, "best").masks(maps, (16, 16))
    assert masks[0].all()
    assert not masks[1].any()


@pytest.mark.parametrize("restore", ["linear", "nearest"])
def test_masks_have_the_original_size_and_place(restore: str) -> None:
    maps = torch.zeros(2, 16, 16)
    maps[0, 4:12, 8:16] = 1  # the picture fills columns 4 to 11 of the square: it is twice as high as wide
    masks = predictor(maps.clamp(0.01, 0.99), restore=restore).masks(maps, (64, 32)).numpy()
    assert masks.shape == (2, 64, 32)
    wanted = np.zeros((64, 32), bool)
    wanted[16:48, 16:32] = True
    assert (masks[0] == wanted).mean() > 0.95
