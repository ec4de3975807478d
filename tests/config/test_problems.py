from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, field_validator

from medseg.config import DOTTED, Section, build_config, join_problems
from medseg.errors import ConfigError
from tests.support.config_sections import write


class Search(Section):
    """A section that takes the keys of others."""

    space: Annotated[dict[str, Any], DOTTED] = Field(default_factory=dict)
    """Whatever has a dot."""

    trials: int = 1
    """How many."""

    @field_validator("space")
    @classmethod
    def _check(cls, space: dict[str, Any]) -> dict[str, Any]:
        if bad := [f"{key}: {{bad}}" for key, value in space.items() if value == "bad"]:
            raise join_problems(bad)
        return space


class Job(Section):
    """A job."""

    search: Search = Search()


class Other(Section):
    """Another command, which skips the section."""

    recipe = Job
    seed: int = 0
    """Any."""


def test_dotted_keys_of_a_section_are_gathered_from_files_and_words(tmp_path: Path) -> None:
    recipe = write(tmp_path / "a.yaml", "search: {a.b: 1..2, trials: 3}\n")
    job = build_config(Job, [recipe, "search.c.d=[1, x]", {"search": {"e.f": None}}, "search.a.b=2..3"])
    assert job == Job(search=Search(space={"a.b": "2..3", "c.d": [1, "x"], "e.f": None}, trials=3))
    assert build_config(Job, [recipe, "search.space={}"]).search.space == {}
    assert build_config(Other, [recipe, "seed=1"]) == Other(seed=1)


def test_a_validator_may_list_several_problems() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(Job, ["search.a.b=bad", "search.c.d=bad", "search.trials=many", "search.trial=2"])
    assert str(caught.value).splitlines() == [
        "configuration: 4 problems",
        "  - unknown key 'search.trial'; did you mean 'search.trials'?",
        "  - a.b: {bad}",
        "  - c.d: {bad}",
        "  - search.trials: 'many' should be a valid integer, unable to parse string as an integer",
    ]
