from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from medseg.data.config import PreprocessConfig
from medseg.data.frame import whole
from medseg.inference.backends import Forward
from medseg.inference.config import PredictConfig
from medseg.inference.predictor import Predictor
from medseg.model.checkpoint import ModelCard
from medseg.model.config import InferenceConfig, ModelConfig


class Constant(nn.Module):
    """A network whose logits are its only parameter, for any input."""

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
    return Predictor(card, [Constant(probabilities)], PredictConfig(threshold=threshold))  # type: ignore[arg-type]


def test_probabilities_are_the_sigmoid_of_the_logits() -> None:
    wanted = torch.linspace(0.1, 0.9, 512).reshape(2, 16, 16)
    found = predictor(wanted).predict(torch.zeros(3, 1, 16, 16))
    assert found.shape == (3, 2, 16, 16)
    torch.testing.assert_close(found[1], wanted)


def test_threshold_is_inclusive_and_half_by_default() -> None:
    maps = torch.full((2, 16, 16), 0.5)
    maps[1] = 0.4999
    masks = predictor(maps).masks(maps, whole((16, 16)))
    assert masks[0].all()
    assert not masks[1].any()


def test_best_threshold_is_the_models_and_half_where_it_has_none() -> None:
    maps = torch.full((2, 16, 16), 0.4)
    masks = predictor(maps, "best").masks(maps, whole((16, 16)))
    assert masks[0].all()
    assert not masks[1].any()


@pytest.mark.parametrize("restore", ["linear", "nearest"])
def test_masks_have_the_original_size_and_place(restore: str) -> None:
    maps = torch.zeros(2, 16, 16)
    maps[0, 4:12, 8:16] = 1  # the image fills columns 4 to 11 of the square: it is twice as high as wide
    masks = predictor(maps.clamp(0.01, 0.99), restore=restore).masks(maps, whole((64, 32))).numpy()
    assert masks.shape == (2, 64, 32)
    wanted = np.zeros((64, 32), bool)
    wanted[16:48, 16:32] = True
    assert (masks[0] == wanted).mean() > 0.95


class Ramp(nn.Module):
    """A network whose logits are the image itself, weighted by column."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0, 1, 16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images * self.weight).expand(-1, 2, -1, -1)


def augmenting(*tta: str, forwards: Sequence[Forward] = (Ramp(),)) -> Predictor:
    card = ModelCard(
        classes=("a", "b"),
        model=ModelConfig(),
        preprocess=PreprocessConfig(size=(16, 16)),
        inference=InferenceConfig(tta=tta),  # type: ignore[arg-type]
    )
    return Predictor(card, forwards, PredictConfig())


def augmented(images: torch.Tensor, *tta: str) -> torch.Tensor:
    return augmenting(*tta).predict(images)


def test_test_time_augmentation_is_a_mean_of_maps_taken_back() -> None:
    images, weight = torch.rand(3, 1, 16, 16), torch.linspace(0, 1, 16)
    plain, mirrored = (images * weight).sigmoid(), (images * weight.flip(0)).sigmoid()
    torch.testing.assert_close(augmented(images, "mirror")[:, :1], (plain + mirrored) / 2)
    darker, brighter = ((images**gamma * weight).sigmoid() for gamma in (1.25, 0.8))
    torch.testing.assert_close(augmented(images, "gamma")[:, :1], (plain + darker + brighter) / 3)


@pytest.mark.parametrize(
    ("tta", "views"),
    [
        ((), ("plain",)),
        (("mirror",), ("plain", "mirror")),
        (("gamma", "mirror"), ("plain", "mirror", "gamma_0.8", "gamma_1.25")),
    ],
)
def test_each_network_and_view_is_given_and_their_mean_is_the_prediction(
    tta: tuple[str, ...], views: tuple[str, ...]
) -> None:
    images, networks = torch.rand(3, 1, 16, 16), (Ramp(), Constant(torch.full((2, 16, 16), 0.3)))
    found = augmenting(*tta, forwards=networks)
    each = found.predict_each(images)
    assert found.views == views
    assert each.shape == (2, len(views), 3, 2, 16, 16)
    assert torch.equal(each.flatten(0, 1).mean(dim=0), found.predict(images))
    for network, maps in zip(networks, each, strict=True):
        assert torch.equal(maps, augmenting(*tta, forwards=[network]).predict_each(images)[0])


def test_views_are_taken_back() -> None:
    images, weight = torch.rand(2, 1, 16, 16), torch.linspace(0, 1, 16)
    found = augmenting("mirror", "gamma")
    each = dict(zip(found.views, found.predict_each(images)[0], strict=True))
    torch.testing.assert_close(each["plain"][:, :1], (images * weight).sigmoid())
    torch.testing.assert_close(each["mirror"][:, :1], (images * weight.flip(0)).sigmoid())
    torch.testing.assert_close(each["gamma_1.25"][:, :1], (images**1.25 * weight).sigmoid())


def test_one_network_without_augmentation_gives_its_prediction_alone() -> None:
    images = torch.rand(2, 1, 16, 16)
    each = augmenting().predict_each(images)
    assert each.shape == (1, 1, 2, 2, 16, 16)
    assert torch.equal(each[0, 0], augmented(images))


def test_components_and_holes_are_the_cards() -> None:
    maps = torch.zeros(2, 16, 16)
    maps[:, 2:9, 2:9], maps[:, 5, 5], maps[:, 12:14, 12:14] = 1, 0, 1
    found = predictor(maps)
    assert not found.masks(maps, whole((16, 16)))[0, 5, 5]
    cleaned = replace(found.decision, components={"a": 1}, fill_holes=True).masks(maps, whole((16, 16)))
    assert cleaned[0].sum() == 49
    assert cleaned[1].sum() == 49 + 4
    assert torch.equal(replace(found.decision, fill_holes=True).network_masks(maps, whole((16, 16)))[1], cleaned[1])
