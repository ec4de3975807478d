"""The settings of commands: described and constrained sections, and how they are given, shown and written."""

from medseg.config.arguments import Given, build_config, parse_args
from medseg.config.help import describe_values, format_help
from medseg.config.section import ExistingPath, Section, expand_home, flatten, leaf_fields
from medseg.config.text import to_yaml

__all__ = [
    "ExistingPath",
    "Given",
    "Section",
    "build_config",
    "describe_values",
    "expand_home",
    "flatten",
    "format_help",
    "leaf_fields",
    "parse_args",
    "to_yaml",
]
