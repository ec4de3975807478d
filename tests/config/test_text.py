from pathlib import Path
from typing import Any

import pytest

from medseg.commands.train_xray import TrainXrayConfig
from medseg.config import Section, parse_args, to_yaml
from medseg.errors import ConfigError
from tests.support.config_sections import Data, Job, Optim, write


class Anything(Section):
    """One value as YAML has it."""

    value: Any = None
    """The value."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("1.5e3", 1500.0),
        (".5e3", 500.0),
        ("-2e+3", -2000.0),
        ("1_0e3", 10_000.0),
        (".5", 0.5),
        ("1_000", 1000),
        ("012", 10),
        ("0o17", "0o17"),
        ("0x1F", 31),
        ("1:30", 90),
        ("1e", "1e"),
        ("e5", "e5"),
        ("yes", True),
        ("off", False),
        ("y", "y"),
        ("~", None),
        ("null", None),
        ("none", "none"),
        ("2020-01-01", "2020-01-01"),
        ("${x}", "${x}"),
        ("${x", "${x"),
        ("???", "???"),
        ("'1e-3'", "1e-3"),
        ("[1e-3, {a: 1}]", [1e-3, {"a": 1}]),
        ("", None),
    ],
)
def test_value_of_yaml(tmp_path, text, value):
    path = write(tmp_path / "a.yaml", f"value: {text}\n")
    for argument in (path, f"value={text}"):
        found = parse_args(Anything, [argument]).value
        assert (found, type(found)) == (value, type(value))


def test_aliases_and_merges(tmp_path):
    path = write(tmp_path / "a.yaml", "seed: &s 4\nsteps: *s\noptim:\n  <<: {rate: 2, kind: sgd}\n  rate: 3\n")
    assert parse_args(Job, [path]) == Job(seed=4, steps=4, optim=Optim(rate=3, kind="sgd"))


@pytest.mark.parametrize(
    ("note", "written"),
    [
        ("a b", "a b"),
        ("007", "'007'"),
        ("1e3", "'1e3'"),
        ("1_0", "'1_0'"),
        ("nan", "'nan'"),
        ("yes", "'yes'"),
        ("n", "'n'"),
        ("null", "'null'"),
        ("2020-01-01", "'2020-01-01'"),
        ("é", "é"),
        ("${x", "${x"),
        ("\\???", "\\???"),
        ("a: b", "'a: b'"),
    ],
)
def test_text_is_in_quotes_if_it_could_be_taken_for_something_else(note, written):
    assert f"\n  note: {written}\n" in to_yaml(Job(optim=Optim(note=note)))


AWKWARD = """null ~ 007 3e-4 1e3 yes on 1:30 2020-01-01 = << ${x} \\${x} ??? *x 'q' "q" 0x1 1_000 - [a { .inf"""
MORE_AWKWARD = ".5e3 ${x y N \\???"


@pytest.mark.parametrize(
    "note",
    [
        None,
        "",
        "a: b",
        "a #b",
        " x ",
        "é",
        "line\nline",
        "\x07",
        "- a",
        "\t",
        *AWKWARD.split(" "),
        *MORE_AWKWARD.split(" "),
    ],
)
def test_yaml_reruns_as_it_is(tmp_path, note):
    job = Job(
        seed=3, data=Data(root=tmp_path, classes=("a", "1"), share=(1e-5, 1)), optim=Optim(note=note, resume=Path("x"))
    )
    assert parse_args(Job, [write(tmp_path / "a.yaml", to_yaml(job))]) == job


def test_resolved_training_configuration_reruns(tmp_path):
    config = parse_args(TrainXrayConfig, ["seed=3", "train.minutes=2", "data.classes=[a,b]", f"data.root={tmp_path}"])
    assert config.split.seed == 3
    assert parse_args(TrainXrayConfig, [write(tmp_path / "a.yaml", to_yaml(config))]) == config


def test_a_set_which_has_no_order_is_refused(tmp_path):
    path = write(tmp_path / "a.yaml", "data:\n  classes: !!set {b, a}\n")
    with pytest.raises(ConfigError, match="line 2: a set has no order; write a list"):
        parse_args(Job, [path])
