import pytest

from medseg.config import parse_args
from medseg.data.config import DataConfig
from medseg.errors import ConfigError
from medseg.model.checkpoint import Reading
from pipelines.train_config import TrainConfig


@pytest.mark.parametrize(("old", "new"), [(True, "rgb"), (False, "grey")])
def test_recipes_and_model_files_of_before_say_colour(tmp_path, old, new):
    recipe = tmp_path / "old.yaml"
    recipe.write_text(f"data:\n  colour: {str(old).lower()}\npreprocess:\n  intensity: fixed\n")
    assert parse_args(TrainConfig, [str(recipe)]).data.color == new
    assert DataConfig.model_validate({"colour": old}).color == new
    assert Reading.model_validate({"presentation": "voi", "colour": old}).color == new


def test_colour_on_the_command_line_is_told_of_color():
    with pytest.raises(ConfigError, match=r"data\.colour.*data\.color"):
        parse_args(TrainConfig, ["data.colour=true"])
