"""The settings that apply to every file of a run."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields

from medseg.folder.sink import FolderSink, Sink
from medseg.folder.source import FolderSource, Source
from medseg.inference.config import InputConfig
from medseg.inference.configuration import digest_settings
from medseg.inference.decision import Decision
from medseg.inference.models import LoadedModel
from medseg.model.checkpoint import Accepts, Range, Reading
from medseg.output.config import PredictOutputConfig, ReportConfig
from medseg.output.writers import WRITERS
from medseg.radiograph.read import Exif, NiftiRows

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """The settings that determine the result for a file: plain values that are sent to the worker processes."""

    source: Source
    sink: Sink
    model: str
    """16 hex digits that name the model."""
    backend: str
    """Name of the backend, such as `torch/cpu/bf16`."""
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
    """Whether overlays are drawn even if BurnedInAnnotation is YES."""
    uids: bool
    reduce: bool = False
    """Whether JPEG 2000 is decoded at the resolution that the network needs."""

    @property
    def configuration(self) -> str:
        """16 hex digits of a hash over the settings that determine the masks."""
        return self._digest("model", "backend", "invert", "nifti_rows", "exif", "reading", "decision", "tta", "reduce")

    @property
    def key(self) -> str:
        """16 hex digits of a hash over all settings that determine the results. Results with another key are redone."""
        return self._digest(*(field.name for field in fields(self) if field.name not in ("source", "sink")))

    def _digest(self, *names: str) -> str:
        known = names if self.reduce else (name for name in names if name != "reduce")  # as before there was the option
        return digest_settings({name: getattr(self, name) for name in known})


def build_job(
    model: LoadedModel,
    backend: str,
    decision: Decision,
    input: InputConfig,
    output: PredictOutputConfig,
    report: ReportConfig,
    source: Source | None = None,
    sink: Sink | None = None,
) -> Job:
    """The job of a folder, from the settings of the model and those of the user.

    Without `source` and `sink`, the files come from `input.dir`, and the results go to `output.dir`.
    """
    given = {name: getattr(input, name) for name in ("modalities", "body_parts", "views")}
    shown = [name for name in output.formats if WRITERS[name].takes_pixels]
    if input.reduce and shown:
        _logger.warning("input.reduce has no effect: output.formats=%s shows all pixels", ",".join(shown))
    chosen = {name: sorted(v.upper() for v in values) for name, values in given.items() if values is not None}
    return Job(
        source=source or FolderSource(input.dir.absolute(), output.dir.absolute(), input),
        sink=sink or FolderSink(output.dir.absolute()),
        model=model.digest,
        backend=backend,
        kinds=tuple(sorted(input.kinds)),
        invert=input.invert,
        nifti_rows=input.nifti_rows,
        exif=input.exif,
        reading=model.card.reading,
        accepts=Accepts(**{**model.card.accepts.model_dump(), **chosen}),
        orientations=model.card.orientations,
        ranges=model.card.ranges,
        decision=decision,
        tta=tuple(sorted(model.card.inference.tta)),
        formats=tuple(sorted(set(output.formats))),
        burned_in=output.burned_in,
        uids=report.uids,
        reduce=input.reduce is not None and not shown,
    )
