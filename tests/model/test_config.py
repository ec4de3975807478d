import subprocess
import sys

import pytest
from pydantic import ValidationError

from medseg.config import Section, format_help, parse_args
from medseg.errors import ConfigError
from medseg.model.config import ModelConfig


class Command(Section):
    """A command with a network."""

    model: ModelConfig = ModelConfig()
    """The network."""


def test_defaults_are_the_fast_recipe():
    assert ModelConfig().model_dump() == {
        "width": 16,
        "depth": 4,
        "padding": 1,
        "padding_mode": "zeros",
        "dropout": 0.05,
        "activation": "leaky_relu",
        "downsample": "conv",
        "upsample": "nearest",
        "skip": "concatenate",
        "output_kernel": 3,
        "bias": False,
        "batch_norm": True,
        "mirror_input": False,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"depth": 0},
        {"depth": 8},
        {"padding": 2},
        {"padding_mode": "replicate"},
        {"dropout": 1},
        {"dropout": -0.1},
        {"activation": "elu"},
        {"downsample": "average"},
        {"upsample": "bicubic"},
        {"skip": "none"},
        {"output_kernel": 2},
        {"widht": 16},
    ],
)
def test_a_value_out_of_range_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ModelConfig(**wrong)


def test_mirroring_a_padded_network_is_refused_under_its_key():
    with pytest.raises(ConfigError, match=r"model\.mirror_input.*needs padding=0"):
        parse_args(Command, ["model.mirror_input=true"])
    assert parse_args(Command, ["model.mirror_input=true", "model.padding=0"]).model.mirror_input


def test_help_explains_every_key():
    text = format_help(Command)
    assert all(field.description for field in ModelConfig.model_fields.values())
    assert "model.padding_mode (reflect | zeros, default zeros)" in text


def test_importing_the_section_imports_no_torch():
    code = "import sys, medseg.model.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
