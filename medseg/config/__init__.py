"""The settings of commands: described and constrained sections, and how they are given, shown and written."""

from medseg.config.arguments import Given, build_config, parse_args
from medseg.config.help import describe_values, format_help
from medseg.config.problems import describe_errors, join_problems, list_problems, suggest_key
from medseg.config.section import DOTTED, ExistingPath, Section, expand_home, flatten, leaf_fields
from medseg.config.text import to_yaml

__all__ = [
    "DOTTED",
    "ExistingPath",
    "Given",
    "Section",
    "build_config",
    "describe_errors",
    "describe_values",
    "expand_home",
    "flatten",
    "format_help",
    "join_problems",
    "leaf_fields",
    "list_problems",
    "parse_args",
    "suggest_key",
    "to_yaml",
]
