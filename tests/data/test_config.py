import pytest

from medseg.config import Section, parse_args, to_yaml
from medseg.data.config import CasesConfig
from medseg.errors import ConfigError


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
    with pytest.raises(ConfigError, match=r"data\.label_values: .*: give whole numbers other than 0 in brackets"):
        parse_args(Config, [f"data.label_values={text}"])


@pytest.mark.parametrize("text", ["{}", "[1]", "{left lung: [1]}"])
def test_label_values_without_classes(text):
    with pytest.raises(ConfigError, match=r"data\.label_values"):
        parse_args(Config, [f"data.label_values={text}"])
