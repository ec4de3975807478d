from pathlib import Path

import pytest
import torch

from medseg.data.config import PreprocessConfig
from medseg.errors import CheckpointError
from medseg.model.checkpoint import ModelCard, load_checkpoint, save_checkpoint, store_thresholds
from medseg.model.config import ModelConfig
from medseg.training.config import TrainingConfig
from medseg.training.fit import find_resumed, settle_coarse

CARD = ModelCard(
    classes=("lungs",), model=ModelConfig(width=2, depth=1), preprocess=PreprocessConfig(size=(16, 16)), run_id="run"
)


def save(path: Path) -> dict[str, torch.Tensor]:
    weights = dict(CARD.build_network().state_dict())
    save_checkpoint(path, CARD, weights, {"iteration": 5, "best": {}})
    return weights


def test_fresh_start_is_asked_for_not_fallen_into(tmp_path: Path) -> None:
    save(tmp_path / "last.pt")
    assert find_resumed(TrainingConfig(), CARD, tmp_path) is None
    with pytest.raises(CheckpointError, match=r"no such file.*nothing to resume"):
        find_resumed(TrainingConfig(resume=True), CARD, tmp_path / "elsewhere")


def test_resume_takes_the_folders_last_or_the_given_file(tmp_path: Path) -> None:
    for path in (tmp_path / "last.pt", tmp_path / "other.pt"):
        save(path)
        train = TrainingConfig(resume=True if path.name == "last.pt" else path)
        content = find_resumed(train, CARD, tmp_path)
        assert content is not None
        assert content["training"]["iteration"] == 5
        assert content["card"]["run_id"] == "run"


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
    assert store_thresholds(tmp_path / "best.pt", {"lungs": 0.3}).thresholds == {"lungs": 0.3}
    card, content = load_checkpoint(tmp_path / "best.pt")
    assert card.thresholds == {"lungs": 0.3}
    assert all(torch.equal(content["weights"][name], value) for name, value in weights.items())


def test_results_of_another_run_are_not_overwritten_by_a_resume(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "last.pt")
    with pytest.raises(CheckpointError, match="another run"):
        find_resumed(TrainingConfig(resume=tmp_path / "a" / "last.pt"), CARD, tmp_path / "b")
