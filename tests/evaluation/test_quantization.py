from pathlib import Path

import pytest
import torch

from medseg.data.config import EvaluateDataConfig
from medseg.errors import DataError, QuantizationError
from medseg.evaluation.config import QuantizationConfig
from medseg.evaluation.quantization import average_difference, check_loss, gather_images, measure_loss
from medseg.model.checkpoint import QuantizationLoss
from tests.support.evaluated_models import digest, place, write_shapes_model
from tests.support.shape_images import write_png_folder


@pytest.fixture
def scene(tmp_path: Path):
    """A model that was trained on four cases, validated on one, and has not seen three."""
    root = write_png_folder(tmp_path / "data", 8)
    data = EvaluateDataConfig(root=root)
    candidate, found = place(write_shapes_model(tmp_path / "plain.pt"), data)
    train = digest(candidate, found, *(f"case{index:02d}" for index in range(4)))
    known = write_shapes_model(
        tmp_path / "model.pt", train_digests=train, validation_digests=digest(candidate, found, "case04")
    )
    return (*place(known, data), train)


def test_images_are_of_training_cases_alone(scene) -> None:
    candidate, found, _ = scene
    trained = [candidate.read(case).shown.input for case in found.cases[:4]]
    images = gather_images(candidate, found.cases, QuantizationConfig())
    assert len(images) == 4
    assert all(any(torch.equal(image, one) for one in trained) for image in images)
    assert len(gather_images(candidate, found.cases, QuantizationConfig(num_images=2))) == 2
    with pytest.raises(DataError, match="none of the radiographs that the model was trained on"):
        gather_images(candidate, found.cases[4:], QuantizationConfig())


class Shifted:
    """The network's logits, raised."""

    def __init__(self, forward, by: float) -> None:
        self.forward, self.by = forward, by

    def __call__(self, images):
        return self.forward(images) + self.by


def shifted(candidate, by: float):
    from medseg.inference.config import PredictConfig
    from medseg.inference.predictor import Predictor

    return Predictor(candidate.card, [Shifted(candidate.predictor.forwards[0], by)], PredictConfig())


def test_a_network_loses_nothing_against_itself(scene) -> None:
    candidate, found, _ = scene
    loss = measure_loss(candidate, shifted(candidate, 0), found.cases, 4)
    assert (loss.images, loss.cases) == (4, 4)
    assert loss.dice == loss.worst == {"box": 0.0, "disc": 0.0}
    assert loss.ctr is None
    check_loss(loss, QuantizationConfig(max_dice_loss=0, max_case_loss=0, max_ctr_difference=0))


def test_the_loss_is_dice_against_the_references_on_cases_not_trained_on(scene) -> None:
    candidate, found, _ = scene
    loss = measure_loss(candidate, shifted(candidate, -100), found.cases, 4)  # masks all empty
    for index, name in enumerate(candidate.classes):
        dice = []
        for case in found.cases[4:]:
            read = candidate.read(case)
            mask = candidate.predictor.masks(candidate.predict([read.shown])[0][1], read.frame)[index]
            reference = read.reference[index]
            dice.append(2 * float((mask & reference).sum()) / float(mask.sum() + reference.sum()))
        assert loss.dice[name] == pytest.approx(sum(dice) / 4, abs=1e-6)
        assert loss.worst[name] == pytest.approx(max(dice), abs=1e-6)


def test_a_cardiothoracic_ratio_that_is_lost_counts_as_all_of_it() -> None:
    none = float("nan")
    pairs = [(0.5, 0.47), (0.4, 0.41), (none, none)]
    cases = [torch.tensor([[0.9, own], [0.9, quantized]]) for own, quantized in pairs]
    assert average_difference(cases) == pytest.approx(0.02)
    assert average_difference([*cases, torch.tensor([[0.9, 0.5], [0.9, none]])]) == pytest.approx(1.04 / 3)
    assert average_difference([*cases, torch.tensor([[0.9, none], [0.9, 0.5]])]) == pytest.approx(1.04 / 3)
    assert average_difference(cases[2:]) is None
    assert average_difference([]) is None


def test_without_a_case_to_measure_on_there_is_no_loss(scene) -> None:
    candidate, found, _ = scene
    with pytest.raises(DataError, match="trained on every case that has a mask of box"):
        measure_loss(candidate, shifted(candidate, 0), found.cases[:4], 4)


@pytest.mark.parametrize(
    ("dice", "worst", "ctr", "said"),
    [
        (0.003, 0.0, None, "a: mean loss of Dice 0.0030, limit 0.002"),
        (0.0, 0.04, None, "a: worst loss of Dice 0.0400, limit 0.03"),
        (0.0, 0.0, 0.02, "cardiothoracic ratio: mean difference 0.0200, limit 0.01"),
    ],
)
def test_above_a_limit_it_is_refused(dice: float, worst: float, ctr: float | None, said: str) -> None:
    loss = QuantizationLoss(images=1, cases=2, dice={"a": dice}, worst={"a": worst}, ctr=ctr)
    with pytest.raises(QuantizationError, match=f"int8 loses too much on 2 cases: {said}"):
        check_loss(loss, QuantizationConfig())
