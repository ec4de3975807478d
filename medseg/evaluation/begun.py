"""The state of several trainings that belong together, from which the same command goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg.errors import ConfigError

ANEW = "Start a new one with train.resume=false; the old results move to earlier/"


def read_begun(path: Path, settings: Mapping[str, Any], what: str) -> dict[str, Any] | None:
    """The content of the state file; None if there is none. `what` names what was begun, such as `cross-validation`.

    Raises `ConfigError` if the file is damaged, or if its `config` differs from `settings`.
    """
    if not path.is_file():
        return None
    try:
        begun = dict(json.loads(path.read_text()))
        before = dict(begun["config"])
        begun["run_id"] = str(begun["run_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged; this {what} cannot be resumed. {ANEW}") from error
    before = {key.replace("inference.", "predict."): value for key, value in before.items()}  # the section's old name
    changed = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
    if changed:
        raise ConfigError(f"{path.parent}: holds a {what} with other values of {', '.join(changed)}. {ANEW}")
    return begun
