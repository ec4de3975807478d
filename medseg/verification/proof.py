"""A receipt in a file, and the settings that were recorded beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from medseg.config import Section, build_config
from medseg.config.text import UNREADABLE, Loader
from medseg.errors import ConfigError
from medseg.receipt.receipt import RECEIPT, Receipt
from medseg.verification.item import Missing

S = TypeVar("S", bound=Section)
_FILES = ("summary.json", "metrics.json")


@dataclass(frozen=True)
class Proof:
    """A receipt with the file that holds it."""

    path: Path
    receipt: Receipt
    summary: Mapping[str, Any]
    """The content of the file."""

    @property
    def folder(self) -> Path:
        """The folder of the result."""
        return self.path.parent


def read_proof(path: Path) -> Proof:
    """The receipt in a `summary.json` or `metrics.json`, or in the folder of one. Raises `ConfigError`."""
    file = next((path / name for name in _FILES if (path / name).is_file()), None) if path.is_dir() else path
    if file is None:
        raise ConfigError(f"{path}: has neither summary.json nor metrics.json. Name the folder of a result")
    try:
        summary = json.loads(file.read_bytes())
        if RECEIPT not in summary:
            raise ConfigError(
                f"{file}: has no receipt. A prediction that was stopped and results of earlier versions have none"
            )
        return Proof(file, Receipt.from_json(summary[RECEIPT]), summary)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: its receipt cannot be read ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class Recorded:
    """The settings with which a result was made, and the place of its data today."""

    settings: Mapping[str, Any]
    """By section."""
    key: str
    """The setting that names the place of the data, such as `data.root`."""
    place: Path | None
    """That place; None for synthetic data."""
    note: str = ""
    """Why the place may be unknown."""

    def find_place(self) -> Path | None:
        """The place of the data. Raises `Missing` if it does not exist here."""
        if self.place is not None and not self.place.exists():
            text = self.note or f"{self.key}: {self.place}: no such file or folder"
            raise Missing(f"{text}. Give its place with data=DIR")
        return self.place

    def build(self, config: type[S], changes: Mapping[str, Any] | None = None) -> S:
        """The configuration, with `changes` by dotted key. A place that does not exist is not looked for."""
        place = self.place if self.place is None or self.place.exists() else Path("/")
        return build_config(config, [self.settings, {self.key: place, **(changes or {})}])


def read_recorded(proof: Proof, moved: Path | None) -> Recorded:
    """The settings beside a receipt. `moved` is the place of the data, if it is another one now.

    Raises `Missing` if there are none.
    """
    of_images = proof.receipt.kind == "prediction"
    settings: Any = proof.summary.get("config") if of_images else _read_yaml(proof.folder / "config.yaml")
    section, name = key = ("input", "dir") if of_images else ("data", "root")
    try:
        known = settings[section][name]
        hashed = of_images and settings["report"]["paths"] == "hashed"
    except (KeyError, TypeError) as error:
        raise Missing(f"{proof.folder}: the recorded settings do not name {'.'.join(key)}") from error
    place = moved or (None if known is None else Path(known))
    note = "report.paths=hashed hides the folder of the images" if hashed and moved is None else ""
    return Recorded(settings, ".".join(key), place, note)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise Missing(f"{path}: {error.strerror}. It has the settings of this result") from error
    except UNREADABLE as error:
        raise Missing(f"{path}: is not YAML") from error
