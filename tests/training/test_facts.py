import math
from pathlib import Path

import pytest

from medseg.data.config import DataConfig, SplitConfig
from medseg.data.frame import whole
from medseg.data.loaders import CaseFacts
from medseg.metrics.statistics import Interval
from medseg.receipt.receipt import build_receipt
from medseg.training.config import TrainingConfig
from medseg.training.facts import describe_cases, describe_split, describe_training, join_scores, list_intervals
from medseg.training.recipe import Recipe
from tests.output.test_card import TRAINING


@pytest.mark.parametrize(
    ("init", "origin", "said"),
    [
        (None, None, "started from random weights."),
        ("auto", None, "started from random weights."),  # the start weights did not fit
        ("auto", "e" * 16, "synthetic phantoms only, no patient, and have the license of medseg"),
        ("other.pt", "e" * 16, "The terms of the data of that model apply to these weights"),
    ],
)
def test_a_card_names_the_origin_of_the_weights_and_the_terms_of_their_data(
    init: str | None, origin: str | None, said: str
) -> None:
    receipt = build_receipt("training", configuration="c", origin=origin, backend="torch/cpu/fp32")
    recipe = Recipe(train=TrainingConfig(init=init, batch_size=4))
    facts = describe_training(recipe, TRAINING.data, (), receipt, "2 epochs", "split")
    assert said in facts.start
    assert (origin or "random") in facts.start


def test_phantoms_are_told_by_the_file_beside_them(tmp_path: Path) -> None:
    data = DataConfig(root=tmp_path)
    read = CaseFacts("a", "", "", None, None, None, None, None, whole((8, 6)))
    assert not describe_cases(Recipe(data=data), data, (), [read]).is_synthetic
    (tmp_path / "generated.json").touch()
    assert describe_cases(Recipe(data=data), data, (), [read]).is_synthetic


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Budget: 30 epochs. 2 epochs were trained"),
        ({"minutes": 1.5}, "Budget: 1.5 minutes. 2 epochs were trained"),
        ({"epochs": 3, "tflop": 2.0}, "Budget: 3 epochs or 2 TFLOP of the network, whichever ends first. 2 epochs"),
    ],
)
def test_a_card_names_the_budget(given: dict[str, float], said: str) -> None:
    receipt = build_receipt("training", configuration="c")
    recipe = Recipe(train=TrainingConfig.model_validate(given))
    facts = describe_training(recipe, TRAINING.data, (), receipt, "2 epochs were trained", "split")
    assert facts.budget[0].startswith(said)


def test_a_card_tells_how_the_cases_were_split() -> None:
    drawn = Recipe(seed=7)
    assert describe_split(drawn, None) == "The data set itself gives the split:"
    assert "seed 7" in describe_split(drawn, "blocks")
    assert "(70 %, 15 %, 15 %). No patient is in two sets:" in describe_split(drawn, "blocks")
    by_image = describe_split(Recipe(split=SplitConfig(patients="image")), "blocks")
    assert by_image.startswith("Images were ordered")
    assert "Images of one patient may be in two sets" in by_image
    folds = Recipe(split=SplitConfig(folds=5, fold=2, seed=1))
    assert "fold 2 (counted from 0) of 5 is the test set" in describe_split(folds, "blocks")


def test_unknown_ends_of_intervals_are_null() -> None:
    intervals = {"dice": Interval(0.5, 0.75), "iou": Interval(math.nan, math.nan)}
    assert list_intervals(intervals) == {"dice": [0.5, 0.75], "iou": [None, None]}
    assert join_scores({"dice": 0.6}, intervals)["dice"].mean == 0.6
