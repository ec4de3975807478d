"""Training called from Python, as in a notebook or a sweep."""

import json
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.splits import split_by_patient
from medseg.data.synthetic import SYNTHETIC
from medseg.hardware.device import find_hardware
from medseg.inference.config import TrainPredictConfig
from medseg.model.checkpoint import load_checkpoint
from medseg.model.config import ModelConfig
from medseg.tracking.config import TrackingConfig
from medseg.training.config import TrainingConfig
from medseg.training.recipe import Recipe
from medseg.training.train import Trained, train


@pytest.mark.slow
def test_a_hook_ends_a_training_which_is_finished_and_recorded(
    png_folder: Path,
    tmp_path: Path,
    tracking: TrackingConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe(
        data=DataConfig(root=png_folder),
        model=ModelConfig(width=4, depth=2),
        preprocess=PreprocessConfig(size=(32, 32)),
        train=TrainingConfig(epochs=5, batch_size=8),
        predict=TrainPredictConfig(tta=("mirror",)),
        tracking=tracking,
    )
    splits = split_by_patient(find_cases(recipe.data), recipe.split)
    asked: list[tuple[int, bool]] = []

    def hook(epoch: int, scores: dict[str, float]) -> bool:
        asked.append((epoch, 0 <= scores["dice"] <= 1))
        return epoch == 2

    handler, folder = signal.getsignal(signal.SIGTERM), tmp_path / "out"
    trained = train(recipe, recipe.data, splits, find_hardware("cpu", "fp32"), folder, hook=hook)
    assert asked == [(1, True), (2, True)]
    assert trained.summary["epochs"] == 2
    assert json.loads((folder / "summary.json").read_text()) == trained.summary
    card, _ = load_checkpoint(folder / "best.pt")
    assert (card.run_id, card.inference.tta) == (trained.run.id, ("mirror",))
    assert trained.describe().startswith("test Dice: ")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert capsys.readouterr() == ("", "")  # the library logs; only commands print

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("medseg.training.train._score", fail)
    longer = recipe.model_copy(update={"train": recipe.train.model_copy(update={"resume": True})})
    with pytest.raises(MemoryError):
        train(longer, recipe.data, splits, find_hardware("cpu", "fp32"), folder)
    assert (folder / "best.pt").exists()
    assert not (folder / "summary.json").exists()  # its scores are those of another network
    assert not (folder / "card.md").exists()


@pytest.mark.parametrize(
    ("data", "said"), [(SYNTHETIC, f"test Dice ({SYNTHETIC}): "), ("synthetic_pilot", "test Dice: ")]
)
def test_only_phantoms_are_called_synthetic(data: str, said: str) -> None:
    summary = {"data": data, "test": {"dice_a": 0.5, "miou": 0.5}, "model": "best.pt", "research_use": ""}
    run = SimpleNamespace(name="run", ui_command="mlflow ui")
    assert Trained(summary, run).describe().startswith(f"{said}a 0.5000; mIoU 0.5000\n")  # type: ignore[arg-type]
