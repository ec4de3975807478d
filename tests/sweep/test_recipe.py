from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from medseg.commands.benchmark import BenchmarkConfig
from medseg.commands.check_data import CheckDataConfig
from medseg.commands.cross_validate import CrossValidateConfig
from medseg.commands.sweep import SweepXrayConfig
from medseg.commands.train_xray import TrainXrayConfig
from medseg.config import build_config, parse_args, to_yaml
from medseg.errors import ConfigError
from medseg.sweep.recipe import SweepRecipe
from medseg.sweep.space import Choices, Range, parse_space
from medseg.training.recipe import Recipe

ISSUE = "sweep: {optim.learning_rate: log 1e-4..1e-2, model.width: [16, 24, 32]}\n"


def find_problems(space: dict[str, Any], *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build_config(SweepRecipe, [{"sweep": space}, *settings])
    assert caught.value.exit_code == 2
    first, *others = str(caught.value).splitlines()
    return [line.removeprefix("  - ") for line in others] or [first.removeprefix("configuration: ")]


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_own_values_of_the_searched_settings() -> None:
    own = {"preprocess.equalize": False, "model.patch": 1, "preprocess.size": [64, 96], "optim.decay": "constant"}
    others = (True, 2, [96, 96], "cosine")
    space = {key: [value, other] for (key, value), other in zip(own.items(), others, strict=True)}
    recipe = build_config(SweepRecipe, [{"sweep": space}, "preprocess.size=[64,96]", "optim.decay=constant"])
    assert recipe.list_own() == own


def test_the_space_is_every_dotted_key_of_the_section(tmp_path: Path) -> None:
    words = [
        write(tmp_path / "r.yaml", ISSUE),
        "sweep.model.depth=2..4",
        "sweep.optim.name=[adam, sgd]",
        "sweep.trials=7",
    ]
    config = parse_args(SweepXrayConfig, words)
    assert config.sweep.trials == 7
    assert parse_space(config.sweep.space) == {
        "optim.learning_rate": Range(1e-4, 1e-2, is_log=True),
        "model.width": Choices(("16", "24", "32")),
        "model.depth": Range(2, 4),
        "optim.name": Choices(('"adam"', '"sgd"')),
    }


def test_from_python_keys_are_dotted_or_nested() -> None:
    dotted = build_config(SweepRecipe, [{"sweep.model.width": [4, 8]}, {"sweep.optim.momentum": "0.1..0.5"}])
    nested = build_config(SweepRecipe, [{"sweep": {"model.width": [4, 8], "optim.momentum": "0.1..0.5"}}])
    assert dotted == nested


def test_the_written_configuration_is_the_same_sweep(tmp_path: Path) -> None:
    config = parse_args(SweepXrayConfig, [write(tmp_path / "r.yaml", ISSUE), "sweep.seeds=[5, 6]"])
    assert parse_args(SweepXrayConfig, [write(tmp_path / "again.yaml", to_yaml(config))]) == config


@pytest.mark.parametrize("command", [TrainXrayConfig, CrossValidateConfig, CheckDataConfig, BenchmarkConfig])
def test_other_commands_skip_the_section(command: type, tmp_path: Path) -> None:
    recipe = write(tmp_path / "r.yaml", f"{ISSUE}seed: 3\ndata: {{root: {tmp_path}}}\n")
    assert build_config(command, [recipe]) == build_config(command, ["seed=3", f"data.root={tmp_path}"])
    with pytest.raises(ConfigError, match="unknown key"):
        build_config(command, [recipe, "sweep.model.width=[1, 2]"])


def test_all_mistakes_of_a_space_are_listed_at_once() -> None:
    space = {
        "optim.learnin_rate": "log 1e-4..1e-2",
        "width": [1, 2],
        "model.dropout": "0.5..0.1",
        "optim.weight_decay": "log 0..1",
        "split.seed": "1..3",
        "data.root": ["a", "b"],
        "output.dir": ["a", "b"],
        "loss.name": "bce",
        "trial": 3,
    }
    assert set(find_problems(space, "sweep.trials=many", "model.width=0")) == {
        "unknown key 'sweep.width'; did you mean 'model.width'?",
        "model.width: 0 should be greater than or equal to 1",
        "sweep: unknown setting 'optim.learnin_rate'; did you mean 'optim.learning_rate'?",
        "sweep: model.dropout: 0.5..0.1: the first end is the larger one. Write 0.1..0.5",
        "sweep: optim.weight_decay: log 0..1: a logarithmic range should begin above 0. "
        "Write for example log 1e-4..1e-2",
        "sweep: split.seed: cannot be searched, because all trials have the same split",
        "sweep: data.root: cannot be searched, because all trials have the same data",
        "sweep: output.dir: cannot be searched, because it does not affect the result",
        "sweep: loss.name: bce: should be a range such as 0.1..0.6, log 1e-4..1e-2 or 2..6, or a list of choices such "
        "as [16, 24, 32]",
        "sweep.trials: 'many' should be a valid integer, unable to parse string as an integer",
        "unknown key 'sweep.trial'; did you mean 'sweep.trials'?",
    }


def test_every_choice_and_the_ends_of_every_range_must_be_valid_settings() -> None:
    space = {
        "model.width": [16, "abc", 0],
        "model.depth": "2.0..4.0",
        "preprocess.size": [[64, 64], [128, 12.5]],
        "optim.momentum": "0.5..1.0",
        "loss.name": ["bce", "dyce"],
        "model.padding": [0, 1],
        "optim.ema_decay": "0.1..0.5",
    }
    found = find_problems(space)
    assert [line.split(": ")[:2] for line in found] == [
        ["sweep", "model.width"],
        ["sweep", "model.width"],
        ["sweep", "model.depth"],
        ["sweep", "preprocess.size"],
        ["sweep", "optim.momentum"],
        ["sweep", "loss.name"],
        ["sweep", "model.padding=0"],
    ]
    assert "add model.mirror_input=true" in found[-1]


def test_a_value_may_need_a_value_of_another_searched_setting() -> None:
    assert build_config(SweepRecipe, [{"sweep": {"model.padding": [0, 1], "model.mirror_input": [True, False]}}])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["sweep.space={}"], "no setting to search"),
        (["sweep.objectives=[tflop]"], r"should be \[dice\]"),
        (["sweep.objectives=[tflop, dice]"], r"should be \[dice\]"),
        (["sweep.objectives=[dice, tflop]", "train.tflop=1"], "Limit train.epochs"),
        (["sweep.seeds=[0, 1]"], "0 is the seed of the trials"),
        (["sweep.seeds=[1, 1]"], "different seeds"),
        (["sweep.seeds=[]"], "different seeds"),
        (["tracking.register=name"], "cannot register"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Sequence[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        build_config(SweepRecipe, [{"sweep.model.width": [1, 2]}, *settings])


def test_a_trial_has_the_recipe_with_its_settings_and_the_split_of_all() -> None:
    config = build_config(SweepRecipe, [{"sweep.preprocess.size": [[64, 64], [96, 96]]}, "seed=4", "train.epochs=2"])
    recipe = config.build_recipe({"preprocess.size": [96, 96], "optim.learning_rate": 0.5})
    expected = build_config(Recipe, ["seed=4", "train.epochs=2", "preprocess.size=[96,96]", "optim.learning_rate=0.5"])
    assert type(recipe) is Recipe
    assert recipe == expected.model_copy(update={"train": recipe.train})
    assert recipe.train.model_dump() == expected.train.model_dump()
    assert yaml.safe_load(to_yaml(recipe))["split"]["seed"] == 4


def test_seeds_are_new_ones() -> None:
    given = {"sweep.model.width": [1, 2]}
    assert build_config(SweepRecipe, [given, "seed=4"]).list_seeds() == (5, 6, 7)
    assert build_config(SweepRecipe, [given, "sweep.seeds=[9, 2]"]).list_seeds() == (9, 2)
