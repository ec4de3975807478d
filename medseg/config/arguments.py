"""Recipes and settings, from a command line or from Python -> one validated configuration, or all problems at once."""

import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from medseg.config.help import format_help
from medseg.config.problems import describe_errors, list_problems, suggest_key
from medseg.config.recipes import list_recipes, suggest_recipe
from medseg.config.section import DOTTED, Section, leaf_fields, leaf_types
from medseg.config.text import UNREADABLE, Loader

S = TypeVar("S", bound=Section)


Given = str | os.PathLike[str] | Mapping[str, Any]
"""A recipe by name or path, `section.key=value` as text, or settings by their keys: `{"data.root": folder}`."""


def parse_args(config: type[S], argv: Sequence[str] | None = None) -> S:
    """The configuration of a command line; the words of this process without `argv`.

    Prints help and exits with 0 on `-h` or `--help`. Raises as `build_config` does.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        given = _gather(config, [word for word in arguments if word not in ("-h", "--help")], [])
        print(format_help(config, given), flush=True)
        raise SystemExit(0)
    return build_config(config, arguments)


def build_config(config: type[S], given: Iterable[Given]) -> S:
    """The defaults, changed by each recipe and setting that is `given`, in order, and validated once.

    Text is taken literally, `${...}` too: nothing is looked up or executed. Raises `ConfigError` that lists every
    problem at once.
    """
    own = {key: field for key, field, _ in leaf_fields(config)}
    problems: list[str] = []
    settings = _gather(config, given, problems)
    try:
        built = config.model_validate(_nest(settings))
    except ValidationError as error:
        raise list_problems(problems + describe_errors(error, own)) from error
    except OSError as error:  # a validator got a path that the system refuses
        raise list_problems([*problems, f"{error.filename}: {error.strerror}"]) from error
    if problems:
        raise list_problems(problems)
    return built


def _gather(config: type[Section], given: Iterable[Given], problems: list[str]) -> dict[str, Any]:
    """The settings that are `given`, in order, by dotted key, not validated yet."""
    own = {key: field for key, field, _ in leaf_fields(config)}
    recipe = config.recipe or config
    foreign = {key: field for key, field, _ in leaf_fields(recipe)}
    settings: dict[str, Any] = {}
    for word in given:
        if isinstance(word, Mapping):
            read = _pick_own(word, own, {}, problems)
        elif config.word is not None and "=" not in os.fspath(word) and not os.fspath(word).startswith("-"):
            read = {config.word: os.fspath(word)}
        else:
            read = _read_argument(os.fspath(word), own, foreign, recipe.earlier, problems)
        for key, value in read.items():
            joins = isinstance(value, dict) and value and isinstance(settings.get(key), dict)  # {} clears
            settings[key] = settings[key] | value if joins else value
    return settings


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The settings under dotted keys as a tree of sections."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[name] = value
    return tree


def _read_argument(
    argument: str,
    own: Mapping[str, FieldInfo],
    foreign: Mapping[str, FieldInfo],
    earlier: Mapping[str, str],
    problems: list[str],
) -> dict[str, Any]:
    """The settings, by dotted key, that one word of the command line stands for; none if the word is a problem."""
    key, equals, text = argument.partition("=")
    if any("\ud800" <= character <= "\udfff" for character in argument):
        problems.append(f"{argument!r}: not UTF-8 text")
        return {}
    if argument in own:
        problems.append(f"{argument}: has no value; write {argument}=VALUE")
        return {}
    is_file = not equals or (argument.endswith((".yaml", ".yml")) and os.path.isfile(argument))  # noqa: PTH113
    if is_file or key.startswith("-"):
        tree = _read_yaml(argument, problems)
        for before, now in earlier.items():
            own_section, old_section = tree.get(now) or {}, tree.get(before) or {}
            if isinstance(own_section, dict) and isinstance(old_section, dict) and before in tree:
                tree = {**tree, now: old_section | own_section}
                del tree[before]
        return _pick_own(tree, own, foreign, problems)
    value = _read_value(text, own.get(key))
    if key in own:
        return {key: value}
    keeps = isinstance(value, dict) or _find_dotted(key, own)
    return _pick_own({key: value if keeps else text}, own, {}, problems)


def _pick_own(
    tree: Mapping[Any, Any],
    own: Mapping[str, FieldInfo],
    foreign: Mapping[str, FieldInfo],
    problems: list[str],
    prefix: str = "",
) -> dict[str, Any]:
    """The settings of `tree` that belong to the command, by dotted key. `foreign` keys are skipped."""
    known, section = {**own, **foreign}, prefix.removesuffix(".")
    picked: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and _is_section(key, known):
            picked |= _pick_own(value, own, foreign, problems, f"{key}.")
        elif key in own:
            picked[key] = value
        elif key in foreign or (value is None and _is_section(key, known)):
            continue
        elif taker := _find_dotted(key, known):
            if taker in own:
                rest = key.removeprefix(f"{taker.rpartition('.')[0]}.")
                picked[taker] = (picked[taker] if isinstance(picked.get(taker), dict) else {}) | {rest: value}
        elif _is_section(key, own):
            problems.append(f"{key}: {value!r} is not a section of settings. Write {key}.KEY=VALUE")
        elif _is_section(section, own) and "." not in str(name):
            picked[key] = value  # may be an earlier name of a setting, which a validator of the section knows
        else:
            problems.append(f"unknown key '{key}'{suggest_key(key, known)}")
    return picked


def _read_value(text: str, field: FieldInfo | None) -> Any:
    """The value of `text` in YAML if `field` takes it, else `text` itself: a path may hold any character."""
    try:
        value = yaml.load(text, Loader)
    except UNREADABLE:
        value = text
    accepted = leaf_types(field.annotation) if field else set()
    takes_text = bool(accepted & {str, Path})
    return text if takes_text and (isinstance(value, str) or type(value) not in accepted) else value


def _read_yaml(path: str, problems: list[str]) -> dict[Any, Any]:
    """The tree of settings in a YAML file or a recipe; empty, with a problem, if it cannot be read."""
    if path.startswith("-"):
        problems.append(f"unknown option '{path}'; arguments are [RECIPE] [section.key=value ...]")
        return {}
    try:
        with _find_file(path).open(encoding="utf-8") as file:
            loaded = yaml.load(file, Loader)
        if isinstance(loaded, dict):
            return loaded
        if loaded is not None:
            problems.append(f"{path}: does not hold sections of settings, such as `train:` with its settings below")
    except FileNotFoundError:
        hint = (
            "put quotes around settings with brackets or spaces"
            if path.endswith(("]", "}", ","))
            else suggest_recipe(path)
        )
        problems.append(f"{path}: no such file and no such recipe; {hint}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(f"{path}, line {mark.line + 1 if mark else '?'}: {error.problem or error.context}")
    except (OSError, *UNREADABLE) as error:
        problems.append(f"{path}: {getattr(error, 'strerror', None) or _first_line(error)}")
    return {}


def _find_file(path: str) -> Path:
    """The file at `path`; if there is none, the recipe of that name."""
    file = Path(path)
    return file if file.is_file() else list_recipes().get(path, file)


def _find_dotted(key: str, keys: Mapping[str, FieldInfo]) -> str | None:
    """The setting that takes `key`, which has a dotted name in its section: `sweep.space` for `sweep.model.width`."""
    sections = {name: f"{name.rpartition('.')[0]}." for name, field in keys.items() if DOTTED in field.metadata}
    return next((n for n, start in sections.items() if key.startswith(start) and "." in key[len(start) :]), None)


def _is_section(key: str, keys: Collection[str]) -> bool:
    return any(known.startswith(f"{key}.") for known in keys)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
