"""YAML and `section.key=value` -> one frozen, validated object; its `--help` and its error messages."""

import os
import re
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from medseg.errors import ConfigError


class Section(BaseModel):
    """A frozen group of described, constrained settings. A field's docstring is its line in `--help`."""

    recipe: ClassVar["type[Section] | None"] = None
    """Of a command's configuration: that of another command, whose settings are skipped in files."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _expand_home(cls, value: Any, info: ValidationInfo) -> Any:
        """`~` at the start of a path, as the folder of the user."""
        takes_path = Path in _leaf_types(cls.model_fields[str(info.field_name)].annotation)
        return expand_home(value) if takes_path else value


S = TypeVar("S", bound=Section)


def expand_home(path: Any) -> Any:
    """`path` with `~` or `~user` at its start replaced by that home folder; anything but a path stays."""
    if isinstance(path, str | Path):
        with suppress(ValueError):  # a name that no user can have
            return type(path)(os.path.expanduser(path))  # noqa: PTH111
    return path


def _must_exist(path: Path) -> Path:
    try:
        path.stat()
    except FileNotFoundError:
        raise ValueError("no such file or folder") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return path


ExistingPath = Annotated[Path, AfterValidator(_must_exist)]


def parse_args(config: type[S], argv: Sequence[str] | None = None) -> S:
    """The configuration of a command: defaults, then `FILE.yaml`, then each `section.key=value`, validated once.

    Text is taken as it stands, `${...}` too: nothing is looked up or executed. Prints help and exits with 0 on `-h` or
    `--help`. Raises `ConfigError` that lists every problem at once.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        with suppress(BrokenPipeError):  # nobody reads on, as behind `| head`
            print(format_help(config), flush=True)
        raise SystemExit(0)
    own = {key: field for key, field, _ in leaf_fields(config)}
    foreign = [key for key, *_ in leaf_fields(config.recipe)] if config.recipe else []
    problems: list[str] = []
    given: dict[str, Any] = {}
    for argument in arguments:
        for key, value in _read_argument(argument, own, foreign, problems).items():
            both = isinstance(value, dict) and isinstance(given.get(key), dict)
            given[key] = given[key] | value if both else value
    try:
        parsed = config.model_validate(_nest(given))
    except ValidationError as error:
        raise _listed(problems + _describe(error, own)) from error
    except OSError as error:  # a validator that looks at a path no system can have
        raise _listed([*problems, f"{error.filename}: {error.strerror}"]) from error
    if problems:
        raise _listed(problems)
    return parsed


def leaf_fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo, type[Section]]]:
    """Each setting below `section` as its dotted key, its field and the section that holds it."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaf_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, section


def flatten(config: Section) -> dict[str, Any]:
    """The settings under their dotted keys, as MLflow parameters want them."""
    dumped = config.model_dump(mode="json")

    def walk(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in tree.items():
            if isinstance(value, Mapping):
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(walk(dumped, ""))


def to_yaml(config: Section) -> str:
    """The resolved configuration as YAML that reruns as it is."""
    settings = config.model_dump(mode="json")
    return yaml.dump(settings, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


def format_help(config: type[Section]) -> str:
    """Every key with its meaning, type and default, by section."""
    module = sys.modules[config.__module__]
    lines = [(module.__doc__ or config.__doc__ or "").strip(), ""]
    heading: type[Section] | None = None
    for key, field, section in leaf_fields(config):
        if section is not heading:
            heading = section
            title = "" if section is config else key.rpartition(".")[0]
            lines += ["", f"{title or 'Top level'}: {(section.__doc__ or '').strip().splitlines()[0]}"]
        default = (
            "required" if field.is_required() else f"default {_show(field.get_default(call_default_factory=True))}"
        )
        lines.append(f"  {key} ({_show_type(field.annotation, field.metadata)}, {default})")
        lines += textwrap.wrap(field.description or "", 108, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


MAX_VALUES, MAX_DEPTH = 10_000, 100
"""Values in a YAML text, and how deep they lie in each other. An alias counts as what it stands for."""


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 as PyYAML reads it, but `1e-3` is a number, a date is text, and a key stands once in its section."""

    def construct_document(self, node: yaml.Node) -> Any:
        """The value of a document. Raises `ConstructorError` for a key given twice, and beyond the two limits."""
        level, count, depth = [node], 0, 0
        while level:
            count, depth = count + len(level), depth + 1
            if count > MAX_VALUES or depth > MAX_DEPTH:
                problem = f"more than {MAX_VALUES} values, or more than {MAX_DEPTH} in each other"
                raise yaml.constructor.ConstructorError(None, None, problem, level[0].start_mark)
            level = list(islice(chain.from_iterable(map(_list_parts, level)), MAX_VALUES))
        return super().construct_document(node)


def _list_parts(node: yaml.Node) -> list[yaml.Node]:
    """The keys and values right inside a node. Raises `ConstructorError` for a key given twice."""
    if isinstance(node, yaml.MappingNode):
        names = set()
        for key in (key for key, _ in node.value if key.tag == _TEXT):
            if key.value in names:
                raise yaml.constructor.ConstructorError(None, None, f"found duplicate key {key.value}", key.start_mark)
            names.add(key.value)
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


class _Dumper(yaml.CSafeDumper):
    """YAML with quotes around text that some reader takes for a number, or for yes or no."""


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.Node:
    quoted = text in ("y", "Y", "n", "N") or _is_number(text)
    return dumper.represent_scalar(_TEXT, text, style="'" if quoted else None)


def _is_number(text: str) -> bool:
    try:
        return isinstance(float(text), float)
    except ValueError:
        return False


_TEXT = "tag:yaml.org,2002:str"
_EXPONENT = re.compile(r"[-+]?(\.[0-9]|[0-9][0-9_]*\.?)[0-9_]*[eE][-+]?[0-9]+$")  # YAML 1.1 takes `1e-3` for text
_Dumper.add_representer(str, _represent_text)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))


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


def _describe(error: ValidationError, keys: Mapping[str, FieldInfo]) -> list[str]:
    """One line on each key that pydantic refuses: the value, and what was expected."""
    lines: dict[str, str] = {}  # what is said of a key -> what it should be; one line for all members of a union
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        key = next((k for n in range(len(parts), 0, -1) if (k := ".".join(parts[:n])) in keys), ".".join(parts))
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        expected = message.removeprefix("Input should be ")
        if problem["type"] == "extra_forbidden":
            lines[f"unknown key '{key}'{_nearest(key, keys)}"] = ""
        elif problem["type"] == "missing":
            wanted = [key] if key in keys else [k for k in keys if k.startswith(f"{key}.") and keys[k].is_required()]
            lines.update({f"{name}: required, not given": "" for name in wanted})
        elif expected != message:
            said = f"{key}: {problem['input']!r} should be "
            lines[said] = f"{lines[said]} or {expected}" if said in lines else expected
        else:
            lines[f"{key}: {problem['input']}: {message}" if key in keys else message] = ""
    return [said + expected for said, expected in lines.items()]


def _nearest(key: str, keys: Collection[str]) -> str:
    """A hint at the key that was probably meant: the same or a like name, first in the same section, then in any."""
    section, _, name = key.rpartition(".")
    names = {known.rpartition(".")[2]: known for known in list(keys)[::-1]}
    own = {known.rpartition(".")[2]: known for known in keys if known.rpartition(".")[0] == section}
    near = [names[name]] if name in names else []
    near += [own[n] for n in get_close_matches(name, own, n=1)] or get_close_matches(key, keys, n=1, cutoff=0.8)
    near += [names[n] for n in get_close_matches(name, names, n=1, cutoff=0.7)]
    return f"; did you mean '{near[0]}'?" if near else "; --help lists the keys"


def _read_argument(
    argument: str, own: Mapping[str, FieldInfo], foreign: Collection[str], problems: list[str]
) -> dict[str, Any]:
    """The settings, by dotted key, that one word of the command line stands for; none where it is a problem."""
    key, equals, text = argument.partition("=")
    if any("\ud800" <= character <= "\udfff" for character in argument):
        problems.append(f"{argument!r}: not UTF-8 text")
        return {}
    is_file = not equals or (argument.endswith((".yaml", ".yml")) and os.path.isfile(argument))  # noqa: PTH113
    if is_file or key.startswith("-"):
        return _pick_own(_read_yaml(argument, problems), own, foreign, problems)
    value = _read_value(text, own.get(key))
    if key in own:
        return {key: value}
    return _pick_own({key: value if isinstance(value, dict) else text}, own, (), problems)


def _pick_own(
    tree: Mapping[Any, Any], own: Collection[str], foreign: Collection[str], problems: list[str], prefix: str = ""
) -> dict[str, Any]:
    """The settings of `tree` that are the command's own, by dotted key. The `foreign` are skipped, others a problem."""
    known, section = [*own, *foreign], prefix.removesuffix(".")
    picked: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and _is_section(key, known):
            picked |= _pick_own(value, own, foreign, problems, f"{key}.")
        elif key in own:
            picked[key] = value
        elif key in foreign or (value is None and _is_section(key, known)):
            continue
        elif _is_section(key, own):
            problems.append(f"{key}: {value!r} is no section; set {key}.KEY=VALUE")
        elif _is_section(section, own) and "." not in str(name):
            picked[key] = value  # a validator of the section may know it: an earlier name of a setting
        else:
            problems.append(f"unknown key '{key}'{_nearest(key, known)}")
    return picked


def _read_value(text: str, field: FieldInfo | None) -> Any:
    """What `text` means in YAML where `field` takes that, else `text` itself: a path may hold any character."""
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, LookupError, RecursionError):
        value = text
    accepted = _leaf_types(field.annotation) if field else set()
    takes_text = bool(accepted & {str, Path})
    return text if takes_text and (isinstance(value, str) or type(value) not in accepted) else value


def _read_yaml(path: str, problems: list[str]) -> dict[Any, Any]:
    """The tree of settings in a YAML file; empty, with a problem, where it cannot be read."""
    usage = "arguments are [FILE.yaml] [section.key=value ...]"
    if path.startswith("-"):
        problems.append(f"unknown option '{path}'; {usage}")
        return {}
    try:
        with Path(path).open(encoding="utf-8") as file:
            loaded = yaml.load(file, _Loader)
        if isinstance(loaded, dict):
            return loaded
        if loaded is not None:
            problems.append(f"{path}: not a mapping of sections")
    except FileNotFoundError:
        problems.append(f"{path}: no such file; {usage}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(f"{path}, line {mark.line + 1 if mark else '?'}: {error.problem or error.context}")
    except (OSError, yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        problems.append(f"{path}: {getattr(error, 'strerror', None) or _first_line(error)}")
    return {}


def _is_section(key: str, keys: Collection[str]) -> bool:
    return any(known.startswith(f"{key}.") for known in keys)


def _leaf_types(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin in (Union, UnionType, Annotated):
        members = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
        return set().union(*(_leaf_types(member) for member in members))
    return {origin or annotation}


def _show(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_show(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


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


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _listed(problems: Sequence[str]) -> ConfigError:
    if len(problems) == 1:
        return ConfigError(f"configuration: {problems[0]}")
    return ConfigError("\n".join([f"configuration: {len(problems)} problems", *(f"  - {p}" for p in problems)]))
