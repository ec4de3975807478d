import math
from dataclasses import replace
from pathlib import Path

import pytest

from medseg.data.config import PreprocessConfig
from medseg.metrics.statistics import Interval
from medseg.model.checkpoint import Accepts, ModelCard
from medseg.model.config import InferenceConfig, ModelConfig
from medseg.output.card import (
    DataFacts,
    EvaluationFacts,
    Score,
    Scored,
    StressRow,
    TrainingFacts,
    add_evaluation,
    describe_preprocessing,
    format_card,
    is_card_of,
)
from medseg.receipt.environment import describe_environment
from medseg.receipt.receipt import Code

DIGEST = "0123456789abcdef"
MODEL = ModelCard(
    classes=("heart", "lungs"),
    model=ModelConfig(width=4, depth=2),
    preprocess=PreprocessConfig(size=(32, 48), crop="field", equalize=True),
    accepts=Accepts(modalities=("DX",), body_parts=("CHEST",), views=("PA",)),
    thresholds={"lungs": 0.4, "heart": 0.55},
    run_id="f" * 32,
)
SCORES = {"dice_heart": Score(0.9, Interval(0.85, 0.95)), "dice_lungs": Score(0.97, Interval(math.nan, math.nan))}
TRAINING = TrainingFacts(
    data=DataFacts("jsrt", "CSV manifest", False, 24, 20, (512, 512), (480, 512), {"north": 14, "so|uth\n`<b>": 10}),
    parts=[Scored("train", 18, 15, {}), Scored("validation", 3, 2, SCORES), Scored("test", 3, 3, SCORES)],
    split="The data set itself gives the split:",
    start="The training started from random weights.",
    budget=["Budget: 3 epochs"],
    code=Code("0.1.0", "c" * 40, True, "s" * 64),
    environment=describe_environment("torch/cpu/fp32"),
)
EVALUATION = EvaluationFacts(
    data="other | hospital",
    model=DIGEST,
    scored=Scored("evaluation", 9, 8, SCORES | {"hd95_heart": Score(7.123, Interval(6, 8))}),
    which="Only unseen cases.",
    classes=("heart", "lungs"),
    unit="mm",
    thresholds={"heart": 0.5},
    backend="torch/cpu/fp32",
    missing={"hd95_heart": 2},
    groups={"site": {"north": Scored("north", 4, 4, SCORES)}},
    stress=[StressRow("blur", "pixels", {"heart": (0.9, 0.2, 3.0), "lungs": (math.nan, math.nan, 0.0)})],
    stress_cases=5,
)


def test_the_same_facts_give_the_same_bytes() -> None:
    turned = MODEL.model_copy(update={"thresholds": {"heart": 0.55, "lungs": 0.4}})
    assert format_card(MODEL, DIGEST, 1, TRAINING) == format_card(turned, DIGEST, 1, TRAINING)


def test_a_card_has_the_sections_and_every_fact() -> None:
    text = format_card(MODEL, DIGEST, 1, TRAINING)
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Model details",
        "Intended use",
        "Training data",
        "Training procedure",
        "Evaluation",
        "Limitations",
    ]
    for fact in (
        "| modalities | `DX` |",
        "24 cases of 20 patients",
        "512 rows, 480 to 512 columns",
        "- Sites: `north` (14 cases), `so uth   b` (10 cases)",
        "| train | 18 | 15 |",
        "| Dice heart | 0.9000 [0.8500, 0.9500] | 0.9000 [0.8500, 0.9500] |",
        "| Dice lungs | 0.9700 | 0.9700 |",
        "heart 0.550, lungs 0.400",
        "with changed files",
        "medseg does not know the terms of the data set",
        "The test set has 3 patients.",
        "Research use only. Not for clinical use.",
    ):
        assert fact in text
    assert "one site" not in text  # there are two


def test_parameters_are_those_of_the_network_and_an_ensemble_says_how_many_it_has() -> None:
    number = sum(each.numel() for each in MODEL.build_network().parameters())
    assert f"- Parameters: {number:,}\n" in format_card(MODEL, DIGEST, 1, TRAINING)
    assert "in each of 5 networks" in format_card(MODEL, DIGEST, 5, TRAINING)


def test_phantoms_are_called_so() -> None:
    synthetic = replace(TRAINING, data=replace(TRAINING.data, is_synthetic=True))
    text = format_card(MODEL, DIGEST, 1, synthetic)
    assert "It has seen synthetic phantoms only." in text
    assert "the phantoms are drawn by medseg, and show no patient" in text


def test_without_the_training_a_card_says_only_what_the_file_knows() -> None:
    known = MODEL.model_copy(update={"train_digests": ("a", "b"), "metrics": {"dice": 0.5}, "origin": "e" * 16})
    text = format_card(known, DIGEST, 1, None)
    assert "knows 2 training and 0 validation cases" in text
    assert "started from the model `eeeeeeeeeeeeeeee`" in text
    assert "dice 0.5000" in text


def test_preprocessing_is_told_in_words() -> None:
    said = describe_preprocessing(
        MODEL.model_copy(update={"inference": InferenceConfig(components={"lungs": 2}, fill_holes=True)})
    )
    assert "Flat borders, such as collimation, are cut off." in said
    assert "The histogram is equalized." in said
    assert "The image is resized to 32 x 48 pixels. The aspect ratio is kept, and the rest is black." in said
    assert said[-2:] == ["The largest connected components are kept: lungs 2.", "Holes in masks are filled."]


def test_an_evaluation_is_added_before_the_limitations_and_another_one_after_it() -> None:
    card = format_card(MODEL, DIGEST, 1, TRAINING)
    once = add_evaluation(card, EVALUATION)
    twice = add_evaluation(once, replace(EVALUATION, data="third"))
    places = [
        twice.index(text) for text in ("## Evaluation", "### On `other   hospital`", "### On `third`", "## Limit")
    ]
    assert places == sorted(places)
    assert is_card_of(twice, DIGEST)
    assert not is_card_of(twice, "f" * 16)
    for fact in (
        "| HD95 heart | 7.12 [6.00, 8.00] | 2 |",
        "| `north` | 4 | 4 | 0.9000 [0.8500, 0.9500] | 0.9700 |",
        "| blur (pixels) | 0.900 to 0.200 at 3 | - to - at 0 |",
    ):
        assert fact in once


@pytest.mark.parametrize("facts", [TRAINING, None])
def test_every_table_has_rows_of_equal_length(facts: TrainingFacts | None, tmp_path: Path) -> None:
    text = add_evaluation(format_card(MODEL, DIGEST, 1, facts), EVALUATION)
    tables: list[list[int]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].append(line.count("|"))
        elif tables[-1]:
            tables.append([])
    tables = [rows for rows in tables if rows]
    assert len(tables) == (6 if facts else 4)
    assert all(len(rows) > 2 and len(set(rows)) == 1 for rows in tables)
    assert "\n\n\n" not in text
