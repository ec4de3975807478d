"""One name for all settings that decide masks: results with the same name are the same."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from medseg.config import Section

_ARITHMETIC = 2
"""Version of the computation. Raise it when a backend or the restoring of masks changes its results."""


def digest_settings(values: Mapping[str, Any]) -> str:
    """16 hex digits over settings by their names: sections, mappings, dataclasses and plain values."""
    text = json.dumps({**values, "arithmetic": _ARITHMETIC}, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    given = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: own for name, own in given.items() if own is not None}
