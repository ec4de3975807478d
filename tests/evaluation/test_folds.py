from pathlib import Path

import pytest

from medseg.commands.cross_validate import CrossValidateConfig
from medseg.data.case import Case
from medseg.data.config import PreprocessConfig
from medseg.data.splits import Splits
from medseg.errors import CheckpointError
from medseg.evaluation.folds import Fold, _check_finished
from medseg.model.checkpoint import ModelCard, save_checkpoint
from medseg.model.config import ModelConfig


def test_an_image_of_both_splits_does_not_change_a_finished_fold(tmp_path: Path) -> None:
    """From start weights, the card of a model lists such an image for validation only."""
    card = ModelCard(
        classes=("disc",),
        model=ModelConfig(width=2, depth=1),
        preprocess=PreprocessConfig(size=(16, 16)),
        train_digests=("a",),
        validation_digests=("b",),
    )
    save_checkpoint(tmp_path / "best.pt", card, card.build_network().state_dict())
    (tmp_path / "summary.json").touch()
    cases = [Case(name, Path(name), {}) for name in ("1", "2", "3", "4")]
    recipe = CrossValidateConfig.model_validate({"output": {"dir": tmp_path}})
    fold = Fold(0, recipe, Splits(tuple(cases[:2]), tuple(cases[2:3]), tuple(cases[3:]), card.classes))
    digests = {"1": "a", "2": "b", "3": "b", "4": "d"}
    _check_finished(fold, digests)
    with pytest.raises(CheckpointError, match="with other train cases"):
        _check_finished(fold, digests | {"1": "c"})
