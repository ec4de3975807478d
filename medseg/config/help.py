"""The text of `--help`."""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from medseg.config.section import Section, leaf_fields
from medseg.config.text import show_value


def format_help(config: type[Section], given: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Every key with its meaning, type and default, by section; and its value, if it is `given` another one."""
    module = sys.modules[config.__module__]
    lines = [(module.__doc__ or config.__doc__ or "").strip(), ""]
    heading: type[Section] | None = None
    for key, field, section in leaf_fields(config):
        if section is not heading:
            heading = section
            title = "" if section is config else key.rpartition(".")[0]
            lines += ["", f"{title or 'Top level'}: {(section.__doc__ or '').strip().splitlines()[0]}"]
        changed = key in given and show_value(given[key]) != show_value(field.default)
        here = f", here {show_value(given[key])}" if changed else ""
        lines.append(f"  {key} ({describe_values(field)}{here})")
        lines += textwrap.wrap(field.description or "", 108, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def describe_values(field: FieldInfo) -> str:
    """The type, the limits and the default of a setting: `int >= 1, default 4`."""
    default = "required"
    if not field.is_required():
        default = f"default {show_value(field.get_default(call_default_factory=True))}"
    return f"{_show_type(field.annotation, field.metadata)}, {default}"


def _show_type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if origin is Annotated:
        return _show_type(get_args(annotation)[0], annotation.__metadata__)
    if origin in (Union, UnionType):
        return " | ".join(_show_type(member) for member in get_args(annotation))
    if origin is tuple:
        members = get_args(annotation)
        return f"[{_show_type(members[0])}, ...]" if members[-1] is ... else f"[{', '.join(map(_show_type, members))}]"
    bounds = [
        f"{sign} {getattr(constraint, name):g}"
        for outer in metadata
        for constraint in (outer.metadata if isinstance(outer, FieldInfo) else [outer])
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if getattr(constraint, name, None) is not None
    ]
    shown = {NoneType: "null", Path: "path", str: "text"}.get(annotation) or annotation.__name__
    return " ".join([shown, *bounds])
