import pytest

from medseg.config import build_config
from medseg.errors import ConfigError
from medseg.sweep.recipe import SweepRecipe
from medseg.sweep.search import check_sizes


def test_all_values_with_which_the_network_cannot_take_its_input_are_listed() -> None:
    space = {"model.depth": "4..7", "preprocess.size": [[64, 64], [16, 16]]}
    with pytest.raises(ConfigError, match="2 problems") as caught:
        check_sizes(build_config(SweepRecipe, [{"sweep": space}, "preprocess.size=[64,64]"]))
    lines = [line.partition(": model.depth=")[0] for line in str(caught.value).splitlines()[1:]]
    assert lines == ["  - sweep: model.depth: 7", "  - sweep: preprocess.size: [16, 16]"]


def test_a_value_that_needs_another_one_is_left_to_its_trial() -> None:
    space = {"model.padding": [0, 1], "model.mirror_input": [True, False]}
    check_sizes(build_config(SweepRecipe, [{"sweep": space}]))
