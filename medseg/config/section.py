"""A frozen group of settings, its fields under dotted keys, and the types they take."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo


class Section(BaseModel):
    """A frozen group of described, constrained settings. A field's docstring is its line in `--help`."""

    recipe: ClassVar["type[Section] | None"] = None
    """Configuration of another command. Its settings are skipped if a YAML file has them."""

    word: ClassVar[str | None] = None
    """The setting that a word without `=` stands for. None: such a word is a recipe."""

    earlier: ClassVar[Mapping[str, str]] = {}
    """Old section name in earlier files -> present section name."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _expand_home(cls, value: Any, info: ValidationInfo) -> Any:
        """`~` at the start of a path, as the folder of the user."""
        takes_path = Path in leaf_types(cls.model_fields[str(info.field_name)].annotation)
        return expand_home(value) if takes_path else value


DOTTED = "takes dotted keys"
"""Marks a setting, a mapping, that takes all keys of its section that have a dot in them, in `Annotated`."""


def expand_home(path: Any) -> Any:
    """`path` with `~` or `~user` at its start replaced by that home folder; anything but a path stays."""
    if isinstance(path, str | Path):
        with suppress(ValueError):  # the name of a user that does not exist
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


def leaf_fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo, type[Section]]]:
    """Each setting below `section` as its dotted key, its field and the section that holds it."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaf_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, section


def flatten(config: "Section | Mapping[str, Any]") -> dict[str, Any]:
    """The settings under their dotted keys, as MLflow parameters want them. A mapping has them by section."""
    dumped = config.model_dump(mode="json") if isinstance(config, Section) else config

    def walk(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in tree.items():
            if isinstance(value, Mapping):
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(walk(dumped, ""))


def leaf_types(annotation: Any) -> set[Any]:
    """The types of values that a field of this annotation takes."""
    origin = get_origin(annotation)
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin in (Union, UnionType, Annotated):
        members = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
        return set().union(*(leaf_types(member) for member in members))
    return {origin or annotation}
