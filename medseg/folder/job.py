"""What every file of a run is treated with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from medseg.config import Section
from medseg.folder.sink import FolderSink
from medseg.folder.source import FolderSource
from medseg.inference.decision import Decision
from medseg.model.checkpoint import Accepts, Range, Reading
from medseg.radiograph.read import Exif, NiftiRows

_ARITHMETIC = 2
"""Raised where a backend or the restoring of masks computes otherwise than before under the same name."""


@dataclass(frozen=True)
class Job:
    """The settings that decide what becomes of a file. Plain values, which travel to the worker processes."""

    source: FolderSource
    sink: FolderSink
    model: str
    """16 hex digits that name the model."""
    backend: str
    """What the network runs on, as `torch/cpu/bf16`."""
    kinds: tuple[str, ...]
    invert: bool
    nifti_rows: NiftiRows | None
    exif: Exif | None
    reading: Reading
    accepts: Accepts
    orientations: tuple[str, ...]
    ranges: Mapping[str, Range]
    decision: Decision
    tta: tuple[str, ...]
    formats: tuple[str, ...]
    burned_in: bool
    """Whether an overlay is drawn although BurnedInAnnotation is YES."""
    uids: bool

    @property
    def configuration(self) -> str:
        """16 hex digits over the settings that decide the masks."""
        return self._digest("model", "backend", "invert", "nifti_rows", "exif", "reading", "decision", "tta")

    @property
    def key(self) -> str:
        """16 hex digits over all that decides what is written; a result under another key is made anew."""
        return self._digest(*(field.name for field in fields(self) if field.name not in ("source", "sink")))

    def _digest(self, *names: str) -> str:
        values = {name: getattr(self, name) for name in names} | {"arithmetic": _ARITHMETIC}
        text = json.dumps(values, default=_plain, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_outputs(formats: tuple[str, ...], classes: tuple[str, ...], id: str) -> dict[tuple[str, str | None], str]:
    """Where the results of a file stand below the output folder, by format and class."""
    names: dict[tuple[str, str | None], str] = {}
    for name in classes:
        names["png", name] = f"png/{name}/{id}.png"
        names["nifti", name] = f"nifti/{name}/{id}.nii.gz"
    names["seg", None] = f"seg/{id}.dcm"
    names["overlay", None] = f"overlay/{id}.png"
    return {key: path for key, path in names.items() if key[0] in formats}


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}
