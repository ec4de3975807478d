import pytest

from medseg.commands.train_xray import TrainXrayConfig
from medseg.config import Section, parse_args, to_yaml
from medseg.data.config import CasesConfig, DataConfig
from medseg.errors import ConfigError
from medseg.model.checkpoint import Reading


class Config(Section):
    data: CasesConfig = CasesConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{lungs: [1], heart: [2, 3]}", {"lungs": (1,), "heart": (2, 3)}),
        ("{lungs: 7}", {"lungs": (7,)}),
        ("{heart: [2], lungs: nonzero}", {"heart": (2,), "lungs": "nonzero"}),
        ("null", None),
    ],
)
def test_label_values_from_the_command_line_and_back_from_yaml(tmp_path, text, expected):
    config = parse_args(Config, [f"data.label_values={text}"])
    assert config.data.label_values == expected
    assert list(config.data.label_values or ()) == list(expected or ())
    (tmp_path / "a.yaml").write_text(to_yaml(config))
    assert parse_args(Config, [str(tmp_path / "a.yaml")]) == config


@pytest.mark.parametrize("text", ["{lungs: []}", "{lungs: [0]}", "{lungs: [1.5]}", "{lungs: zero}", "{lungs: true}"])
def test_label_values_that_are_none(text):
    with pytest.raises(ConfigError, match=r"data\.label_values: .*: needs a list of whole numbers without 0"):
        parse_args(Config, [f"data.label_values={text}"])


@pytest.mark.parametrize("text", ["{}", "[1]", "{left lung: [1]}"])
def test_label_values_without_classes(text):
    with pytest.raises(ConfigError, match=r"data\.label_values"):
        parse_args(Config, [f"data.label_values={text}"])


@pytest.mark.parametrize(("old", "new"), [(True, "rgb"), (False, "grey")])
def test_recipes_and_model_files_of_before_say_colour(tmp_path, old, new):
    recipe = tmp_path / "old.yaml"
    recipe.write_text(f"data:\n  colour: {str(old).lower()}\npreprocess:\n  intensity: fixed\n")
    assert parse_args(TrainXrayConfig, [str(recipe)]).data.color == new
    assert DataConfig.model_validate({"colour": old}).color == new
    assert Reading.model_validate({"presentation": "voi", "colour": old}).color == new


def test_colour_on_the_command_line_is_told_of_color():
    with pytest.raises(ConfigError, match=r"data\.colour.*data\.color"):
        parse_args(TrainXrayConfig, ["data.colour=true"])
