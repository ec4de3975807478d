"""The output formats. The entry of a format says what it needs of the source, and which files it writes and how.

Commands call `list_modules` before they import heavy modules. So this module must not import them either.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.atomic import write_text
from medseg.errors import RadiographError
from medseg.metrics.measurements import Measured
from medseg.output.config import DRAWN, Format
from medseg.output.images import is_own_nifti, is_own_png, write_mask_nifti, write_mask_png
from medseg.output.overlay import shrink_preview, write_overlay

if TYPE_CHECKING:
    from medseg.output.dicom_seg import Reference
    from medseg.radiograph import Radiograph
    from medseg.radiograph.orientation import Place

_MAX_NIFTI = 32767


@dataclass(frozen=True)
class Source:
    """A source image with its open file."""

    file: BinaryIO
    radiograph: "Radiograph"
    reading: Mapping[str, Any]
    """The arguments of `read_radiograph` for this model."""
    burned_in: bool
    """Whether pixels are shown even if BurnedInAnnotation is YES."""
    name: str
    """Name of the file without its folders; annotation files name their image like this."""


@dataclass(frozen=True, eq=False)
class Results:
    """The data from which an output file is written."""

    masks: NDArray[np.bool_]
    """`(class, rows, columns)` at the original size."""
    classes: tuple[str, ...]
    spacing_mm: tuple[float, float] | None
    measured: Sequence[Measured]
    taken: Any
    """The data that the format took from the source."""
    model: str
    configuration: str
    content: str
    """SHA-256 of the source file, if the format needs it."""
    date: datetime


@dataclass(frozen=True)
class Writer:
    """One output format."""

    name: Format
    """Name of the format and of its subfolder in the output folder."""
    extension: str
    write: Callable[[Path, Results], None]
    """Writes a file. Raises `StorageError`."""
    per_class: bool = False
    """Whether each class has its own file, in its own folder, made from the results of that class only."""
    take: Callable[[Source, list[str]], Any] = lambda source, warnings: ()
    """Takes the data that the format needs from the source. Returns None, with a warning, if it cannot be written."""
    takes_content: bool = False
    """Whether the format needs the SHA-256 of the source file."""
    takes_pixels: bool = False
    """Whether the format shows the pixels of the source."""
    refuse: Callable[[tuple[int, int]], str | None] = lambda size: None
    """Returns the reason why masks of a size `(rows, columns)` cannot be written; None if they can."""
    module: str = ""
    """Module that workers import before their first file, if importing takes long."""
    kind: str = ""
    """Input kind of the files that this format writes. `is_own` tells them from real input."""
    is_own: Callable[[BinaryIO], bool] = lambda file: False
    """Whether an open file of that kind has the mark of this program."""

    def name_files(self, classes: tuple[str, ...], id: str) -> dict[str, slice]:
        """The output files for a source: paths below the output folder, each with the slice of classes it contains."""
        if not self.per_class:
            return {f"{self.name}/{id}{self.extension}": slice(None)}
        return {f"{self.name}/{name}/{id}{self.extension}": slice(i, i + 1) for i, name in enumerate(classes)}


def take_sources(formats: Sequence[str], source: Source, warnings: list[str]) -> dict[str, Any]:
    """The data that `formats` need from the source, by format. Formats that cannot be written are left out."""
    taken = {name: WRITERS[name].take(source, warnings) for name in formats}
    return {name: part for name, part in taken.items() if part is not None}


def write_formats(
    taken: Mapping[str, Any], results: Results, id: str, place: Callable[[str], Path], warnings: list[str]
) -> list[str]:
    """Write the formats of `taken`, which `take_sources` gives; the files by their paths below the output folder.

    `place` leads from such a path to where the file goes. A format that cannot hold the masks adds a warning. Raises
    `StorageError`.
    """
    written: list[str] = []
    for name, own in taken.items():
        writer = WRITERS[name]
        if (refusal := writer.refuse((results.masks.shape[1], results.masks.shape[2]))) is not None:
            warnings.append(refusal)
            continue
        for relative, part in writer.name_files(results.classes, id).items():
            masks, classes = results.masks[part], results.classes[part]
            writer.write(place(relative), replace(results, masks=masks, classes=classes, taken=own))
            written.append(relative)
    return written


def choose_date() -> datetime:
    """The date of results: this second, or SOURCE_DATE_EPOCH, for results that are equal byte for byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return moment.astimezone().replace(microsecond=0)


def name_outputs(classes: tuple[str, ...], id: str) -> set[str]:
    """The paths below the output folder of all files that any format may write for a source."""
    return {path for writer in WRITERS.values() for path in writer.name_files(classes, id)}


def list_modules(formats: Collection[str]) -> list[str]:
    """The modules that workers import before their first file to write `formats`."""
    return [WRITERS[name].module for name in formats if WRITERS[name].module]


def is_own_result(file: BinaryIO, kind: str) -> bool:
    """Whether an open file of `kind` is a mask or an overlay written by this program. False if it is damaged."""
    return any(is_own(file) for is_own in {writer.is_own for writer in WRITERS.values() if writer.kind == kind})


def _write_png(path: Path, results: Results) -> None:
    write_mask_png(path, results.masks[0])


def _write_nifti(path: Path, results: Results) -> None:
    write_mask_nifti(path, results.masks[0], results.spacing_mm, results.taken or None)


def _take_place(source: Source, warnings: list[str]) -> "Place | tuple[()]":
    """Where the source lies in space; empty if it lies nowhere."""
    kind = source.radiograph.kind
    if kind == "nifti":
        from medseg.radiograph.nifti import find_nifti_place

        return find_nifti_place(source.file) or ()
    if kind in ("mha", "nrrd"):
        from medseg.radiograph.itk import find_itk_place

        return find_itk_place(source.file, kind) or ()
    return ()


def _check_size(size: tuple[int, int]) -> str | None:
    if max(size) <= _MAX_NIFTI:
        return None
    return f"no NIfTI: the format allows at most {_MAX_NIFTI} pixels a side"


def _take_reference(source: Source, warnings: list[str]) -> "Reference | None":
    if source.radiograph.kind != "dicom":
        warnings.append("no SEG: the source is not a DICOM file")
        return None
    from medseg.output.dicom_seg import read_reference

    reference = read_reference(source.file)
    warnings += reference.warnings
    if reference.problem is None:
        return reference
    warnings.append(f"no SEG: {reference.problem}")
    return None


def _write_seg(path: Path, results: Results) -> None:
    from medseg.output.dicom_seg import Maker, write_segmentation

    maker = Maker(results.model, results.configuration, results.content, results.date, version("medseg"))
    write_segmentation(path, results.taken, results.masks, results.classes, maker)


def _write_overlay(path: Path, results: Results) -> None:
    write_overlay(path, results.taken, results.masks, results.classes, results.measured)


def _take_name(source: Source, warnings: list[str]) -> str:
    return source.name


def _write_drawn(format: str, path: Path, results: Results) -> None:
    """Write the outlines of all masks, marked as made by the model."""
    from medseg.annotations import FORMATS, AnnotatedImage, outline

    shapes = [shape for name, mask in zip(results.classes, results.masks, strict=True) for shape in outline(name, mask)]
    size = results.masks.shape[1], results.masks.shape[2]
    image = AnnotatedImage(results.taken, size, tuple(shapes), made_by=results.model)
    dump = FORMATS[format].dump
    assert dump is not None
    (text,) = dump([image], results.classes).values()
    write_text(path, text)


def _take_preview(source: Source, warnings: list[str]) -> NDArray[np.uint8] | None:
    """A preview of the image after the VOI transformation, or without it if no contrast would be left."""
    shown = source.radiograph
    if shown.burned_in and not source.burned_in:
        warnings.append("no overlay: BurnedInAnnotation is YES")
        return None
    if shown.kind == "dicom" and source.reading["presentation"] != "voi":
        from medseg.radiograph import read_radiograph

        try:
            shown = read_radiograph(source.file, **{**source.reading, "presentation": "voi"})
        except RadiographError as error:
            warnings.append(f"the overlay was drawn without the VOI transformation: with it, {error.reason}")
    gray = shown.pixels if shown.pixels.ndim == 2 else shown.pixels.mean(axis=2)
    return shrink_preview(gray, shown.padding)


WRITERS: Mapping[str, Writer] = {
    writer.name: writer
    for writer in (
        Writer("seg", ".dcm", _write_seg, take=_take_reference, takes_content=True, module="medseg.output.dicom_seg"),
        Writer("png", ".png", _write_png, per_class=True, kind="png", is_own=is_own_png),
        Writer(
            "nifti",
            ".nii.gz",
            _write_nifti,
            per_class=True,
            take=_take_place,
            refuse=_check_size,
            kind="nifti",
            is_own=is_own_nifti,
        ),
        Writer("overlay", ".png", _write_overlay, take=_take_preview, takes_pixels=True, kind="png", is_own=is_own_png),
        *(
            Writer(name, extension, partial(_write_drawn, name), take=_take_name, module="medseg.annotations")
            for name, extension in DRAWN.items()
        ),
    )
}
"""The writers by name, in the order of `output.config.Format`."""

RESULTS = tuple(f"{writer.name}/*" if writer.per_class else writer.name for writer in WRITERS.values())
"""Patterns of the result folders below the output folder."""
