from pathlib import Path

import pytest
import torch

from medseg.data.config import PreprocessConfig
from medseg.model.checkpoint import ModelCard, load_checkpoint, save_checkpoint, update_card
from medseg.model.config import ModelConfig
from medseg.training.config import TrainingConfig
from medseg.training.fit import settle_coarse

CARD = ModelCard(
    classes=("lungs",), model=ModelConfig(width=2, depth=1), preprocess=PreprocessConfig(size=(16, 16)), run_id="run"
)


def save(path: Path) -> dict[str, torch.Tensor]:
    weights = dict(CARD.build_network().state_dict())
    save_checkpoint(path, CARD, weights, {"iteration": 5, "best": {}})
    return weights


@pytest.mark.parametrize(
    ("given", "origin", "depth", "used"),
    [(None, None, 1, 0.4), (None, "abc", 1, 0), (0.2, "abc", 1, 0.2), (0.2, None, 1, 0.2), (0.2, None, 3, 0)],
)
def test_steps_are_coarse_at_first_unless_the_weights_are_trained_or_the_images_too_small(
    given: float | None, origin: str | None, depth: int, used: float
) -> None:
    card = CARD.model_copy(update={"origin": origin, "model": ModelConfig(width=2, depth=depth)})
    assert settle_coarse(TrainingConfig(coarse=given), card).coarse == used


def test_thresholds_are_stored_beside_the_same_weights(tmp_path: Path) -> None:
    weights = save(tmp_path / "best.pt")
    assert update_card(tmp_path / "best.pt", thresholds={"lungs": 0.3}).thresholds == {"lungs": 0.3}
    card, content = load_checkpoint(tmp_path / "best.pt")
    assert card.thresholds == {"lungs": 0.3}
    assert all(torch.equal(content["weights"][name], value) for name, value in weights.items())
