"""Words for what is wrong with settings: a line for each problem, with the nearest valid key."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from medseg.errors import ConfigError

SEVERAL = "several_problems"
"""Type of an error that has a line for each of several problems."""


def join_problems(problems: Sequence[str]) -> PydanticCustomError:
    """The error of a validator that has found several problems. Each is shown as it is."""
    return PydanticCustomError(SEVERAL, "{lines}", {"lines": "\n".join(problems)})


def describe_errors(error: ValidationError, keys: Mapping[str, FieldInfo]) -> list[str]:
    """One line for each key that pydantic refuses: the value, and the values it may have."""
    lines: dict[str, str] = {}  # a key and its value -> what it should be; one line for all members of a union
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        key = next((k for n in range(len(parts), 0, -1) if (k := ".".join(parts[:n])) in keys), ".".join(parts))
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        expected = message.removeprefix("Input should be ")
        if problem["type"] == SEVERAL:
            lines.update(dict.fromkeys(problem["msg"].splitlines(), ""))
        elif problem["type"] == "extra_forbidden":
            lines[f"unknown key '{key}'{suggest_key(key, keys)}"] = ""
        elif problem["type"] == "missing":
            wanted = [key] if key in keys else [k for k in keys if k.startswith(f"{key}.") and keys[k].is_required()]
            lines.update({f"{name}: required, not given": "" for name in wanted})
        elif problem["type"] in ("tuple_type", "list_type"):
            lines[f"{key}: {problem['input']!r} should be a list in brackets, such as '{key}=[A, B]'"] = ""
        elif expected != message:
            said = f"{key}: {problem['input']!r} should be "
            lines[said] = f"{lines[said]} or {expected}" if said in lines else expected
        else:
            lines[f"{key}: {problem['input']}: {message}" if key in keys else message] = ""
    return [said + expected for said, expected in lines.items()]


def suggest_key(key: str, keys: Collection[str]) -> str:
    """A hint at the key that was probably meant: the same or a similar name, first in the same section, then in any."""
    section, _, name = key.rpartition(".")
    sections = {known.rpartition(".")[0] for known in keys}
    if section not in sections:
        section = (get_close_matches(section, sections, n=1, cutoff=0.7) or [section])[0]
    names = {known.rpartition(".")[2]: known for known in list(keys)[::-1]}
    own = {known.rpartition(".")[2]: known for known in keys if known.rpartition(".")[0] == section}
    near = [own[name]] if name in own else [names[name]] if name in names else []
    near += [own[n] for n in get_close_matches(name, own, n=1)] or get_close_matches(key, keys, n=1, cutoff=0.8)
    near += [names[n] for n in get_close_matches(name, names, n=1, cutoff=0.7)]
    return f"; did you mean '{near[0]}'?" if near else ". --help lists all keys"


def list_problems(problems: Sequence[str]) -> ConfigError:
    """The error that lists all `problems` of a configuration."""
    if len(problems) == 1:
        return ConfigError(f"configuration: {problems[0]}")
    return ConfigError("\n".join([f"configuration: {len(problems)} problems", *(f"  - {p}" for p in problems)]))
