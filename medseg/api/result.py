"""The result of a model for one image: masks and measurements."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medseg.errors import ConfigError, RadiographError
from medseg.inference.segment import Segmented
from medseg.metrics.shape import measure_areas
from medseg.output.overlay import draw_overlay
from medseg.output.writers import WRITERS, Results, Source, choose_date, take_sources, write_formats
from medseg.radiograph import Radiograph
from medseg.radiograph.array import NAME
from medseg.radiograph.image import digest_pixels

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class Origin:
    """The source of a result: its image, and the model and settings that made it."""

    radiograph: Radiograph
    file: BinaryIO
    """The bytes that the radiograph was read from; empty for an array."""
    reading: Mapping[str, Any]
    """Arguments of `read_radiograph` for this model."""
    model: str = ""
    """Digest of the model, 16 hex digits."""
    configuration: str = ""
    """Digest of all settings that change the masks, 16 hex digits."""


class Result:
    """The masks of one image, at its original size, and their measurements.

    `masks` holds bool arrays `(rows, columns)` by class. `warnings` lists doubts: `empty_<class>`,
    `implausible_<class>`, a modality or orientation that differs from training, absent tags.

        result = model.predict("image.dcm")
        result.masks["heart"].sum() == result.areas_px["heart"]
        result.overlay().save("overlay.png")
        result.write("MASKS", formats=["seg", "png"])
    """

    def __init__(
        self,
        segmented: Segmented,
        origin: Origin,
        classes: tuple[str, ...],
        warnings: tuple[str, ...],
        probabilities: Callable[[], NDArray[np.float32]],
    ) -> None:
        self._segmented, self._origin, self._classes, self._probabilities = segmented, origin, classes, probabilities
        self.warnings = warnings
        self.masks: Mapping[str, NDArray[np.bool_]] = _by_class(classes, segmented.masks)

    @property
    def radiograph(self) -> Radiograph:
        """The image as it was read."""
        return self._origin.radiograph

    @cached_property
    def probabilities(self) -> Mapping[str, NDArray[np.float32]]:
        """Float32 arrays `(rows, columns)` in [0, 1] by class, at the original size, before any postprocessing."""
        return _by_class(self._classes, self._probabilities())

    @cached_property
    def areas_px(self) -> Mapping[str, int]:
        """The number of pixels of each mask, by class."""
        return {name: int(np.count_nonzero(mask)) for name, mask in self.masks.items()}

    @cached_property
    def areas_mm2(self) -> Mapping[str, float] | None:
        """The area of each mask in mm², by class, in the plane `area_plane`; None if the spacing is not known."""
        spacing = self.radiograph.spacing_mm
        if spacing is None:
            return None
        measured = measure_areas(self._segmented.masks, self._classes, spacing)
        return {name: float(measured[f"area_mm2_{name}"]) for name in self._classes}

    @property
    def area_plane(self) -> str | None:
        """The plane of the millimeters, DICOM PS3.3 10.7: `calibrated`, `magnification`, `detector`, `unspecified`,
        `film` or `file`; None if the spacing is not known.
        """
        return self.radiograph.spacing_source if self.radiograph.spacing_mm is not None else None

    @property
    def cardiothoracic_ratio(self) -> float | None:
        """Width of the heart divided by width of the chest. None if the view is not PA or AP, or if unknown."""
        measured = self._segmented.measured.get("ctr")
        return None if measured is None else measured.value

    def overlay(self, *, burned_in: bool = False) -> "Image":
        """A PIL image of at most 1024 pixels a side: the radiograph with masks, legend and measurements.

        Raises `RadiographError` if BurnedInAnnotation is YES, since the pixels may name the patient. With
        `burned_in=True` the overlay is drawn anyway.
        """
        from PIL import Image

        warnings: list[str] = []
        preview = self._take(["overlay"], warnings, burned_in).get("overlay")
        if preview is None:
            raise RadiographError("; ".join(warnings) + "; overlay(burned_in=True) draws it anyway", "burned-in")
        shown = tuple(self._segmented.measured.values())
        return Image.fromarray(draw_overlay(preview, self._segmented.masks, self._classes, shown))

    def write(
        self, folder: str | os.PathLike[str], formats: Sequence[str] = ("png",), *, name: str | None = None
    ) -> list[Path]:
        """Write the masks below `folder` as `medseg predict` does, and return the paths of the files.

        `formats` may contain `seg` (DICOM SEG, for DICOM images), `png`, `nifti`, `overlay`, and the annotation
        formats `coco`, `labelme`, `cvat`, `via` and `label_studio`, which contain the name of the image file. The files
        are named `name`. By default this is the first 16 hex digits of the SHA-256 of the image; they do not identify
        the patient. `warnings` then also lists the attributes that had to be left empty in a SEG.

        Raises `ConfigError` for an unknown format, `RadiographError` for a format that cannot hold this image, and
        `StorageError` if a file cannot be written.
        """
        if unknown := [each for each in formats if each not in WRITERS]:
            raise ConfigError(f"formats: {unknown[0]!r} is unknown; the formats are {', '.join(WRITERS)}")
        id = name or self._digest[:16]
        if {os.sep, os.altsep, "\0"} & set(id) or id in (".", ".."):
            raise ConfigError(f"name: {id!r} cannot be a file name")
        segmented, origin = self._segmented, self._origin
        made_by = origin.model, origin.configuration, self._digest, choose_date()
        shown, spacing = tuple(segmented.measured.values()), self.radiograph.spacing_mm
        results = Results(segmented.masks, self._classes, spacing, shown, None, *made_by)
        notes: list[str] = []
        taken = self._take(formats, notes)
        if len(taken) < len(set(formats)):
            raise RadiographError("; ".join(notes), "format")
        refusals: list[str] = []
        paths = write_formats(taken, results, id, Path(folder).joinpath, refusals)
        if refusals:
            raise RadiographError("; ".join(refusals), "format")
        self.warnings += tuple(note for note in notes if note not in self.warnings)
        return [Path(folder, path) for path in paths]

    @cached_property
    def _digest(self) -> str:
        """The SHA-256 of the file, or of the pixels of an array."""
        if self.radiograph.kind == NAME:
            return digest_pixels(self.radiograph.pixels)
        self._origin.file.seek(0)
        return hashlib.sha256(self._origin.file.read()).hexdigest()

    def _take(self, formats: Sequence[str], warnings: list[str], burned_in: bool = False) -> dict[str, Any]:
        """The data of the image that each format needs."""
        origin = self._origin
        name = Path(origin.file.name).name
        return take_sources(formats, Source(origin.file, origin.radiograph, origin.reading, burned_in, name), warnings)

    def __repr__(self) -> str:
        rows, columns = self.radiograph.pixels.shape[:2]
        return f"<medseg.Result {rows} x {columns}: {', '.join(self._classes)}>"


class _ByClass(dict[str, NDArray[Any]]):
    """Arrays by class."""

    def __missing__(self, name: str) -> NDArray[Any]:
        raise KeyError(f"{name} is not a class of the model; it has {', '.join(self)}")


def _by_class(classes: Sequence[str], arrays: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
    return MappingProxyType(_ByClass(zip(classes, arrays, strict=True)))
