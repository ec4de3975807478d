"""Values as YAML text, and back."""

import re
from collections.abc import Mapping
from itertools import chain, islice
from typing import Any

import yaml

from medseg.config.section import Section

MAX_VALUES, MAX_DEPTH = 10_000, 100
"""Limits on the number of values in a YAML text and on their nesting. An alias counts as the values it stands for."""
UNREADABLE = (yaml.YAMLError, ValueError, LookupError, RecursionError)
"""Errors of `yaml.load` for a text that is not YAML, or whose tags do not fit, as in `!!bool x`."""


class Loader(yaml.CSafeLoader):
    """YAML 1.1 as PyYAML reads it, except that `1e-3` is a number, a date is text, and no key may occur twice."""

    def construct_document(self, node: yaml.Node) -> Any:
        """The value of a document. Raises `ConstructorError` for a key that occurs twice, and beyond the two limits."""
        level, count, depth = [node], 0, 0
        while level:
            count, depth = count + len(level), depth + 1
            if count > MAX_VALUES or depth > MAX_DEPTH:
                problem = f"more than {MAX_VALUES} values, or more than {MAX_DEPTH} levels"
                raise yaml.constructor.ConstructorError(None, None, problem, level[0].start_mark)
            level = list(islice(chain.from_iterable(map(_list_parts, level)), MAX_VALUES))
        return super().construct_document(node)


def _list_parts(node: yaml.Node) -> list[yaml.Node]:
    """The keys and values directly inside a node. Raises `ConstructorError` for a key that occurs twice."""
    if isinstance(node, yaml.MappingNode):
        names = set()
        for key in (key for key, _ in node.value if key.tag == _TEXT):
            if key.value in names:
                raise yaml.constructor.ConstructorError(None, None, f"found duplicate key {key.value}", key.start_mark)
            names.add(key.value)
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


class _Dumper(yaml.CSafeDumper):
    """Writes YAML with quotes around text that other programs read as a number, or as yes or no."""


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.Node:
    quoted = text in ("y", "Y", "n", "N") or _is_number(text)
    return dumper.represent_scalar(_TEXT, text, style="'" if quoted else None)


def _refuse_set(loader: yaml.CSafeLoader, node: yaml.Node) -> Any:
    raise yaml.constructor.ConstructorError(None, None, "a set has no order; write a list", node.start_mark)


def _is_number(text: str) -> bool:
    try:
        return isinstance(float(text), float)
    except ValueError:
        return False


_TEXT = "tag:yaml.org,2002:str"
_EXPONENT = re.compile(r"[-+]?(\.[0-9]|[0-9][0-9_]*\.?)[0-9_]*[eE][-+]?[0-9]+$")  # YAML 1.1 takes `1e-3` for text
_Dumper.add_representer(str, _represent_text)
Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))
Loader.add_constructor("tag:yaml.org,2002:set", _refuse_set)


def to_yaml(config: Section, without: Mapping[str, set[str]] | None = None) -> str:
    """The configuration as YAML; a command that is given this file does the same again.

    `without` lists keys to leave out, by section.
    """
    settings = config.model_dump(mode="json", exclude=without)
    return yaml.dump(settings, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


def show_value(value: Any) -> str:
    """The value of a setting in one line, as YAML shows it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(show_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {show_value(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
