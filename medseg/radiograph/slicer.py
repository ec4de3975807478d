"""Segmentations of 3D Slicer (`.seg.nrrd`): one mask per segment, placed on their image."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import RadiographError
from medseg.radiograph.grid import Grid, measure_spacing, read_grid
from medseg.radiograph.itk import Volume, read_itk_header, read_volume
from medseg.radiograph.kind import identify
from medseg.radiograph.orientation import turn_to_picture
from medseg.radiograph.source import open_source

_FIELD = re.compile(r"segment(\d{1,6})_(id|name|labelvalue|layer)")
_OFFSET, _PARAMETERS = "segmentation_referenceimageextentoffset", "segmentation_conversionparameters"
_REFERENCE = re.compile(r"Reference image geometry\|([^|&]*)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_EXPORT = "Export the segmentation with the geometry of its image"
_OBLIQUE, _UNEVEN = 1e-3, 0.1  # tolerances: rounding of a cosine, and a tenth of a pixel


@dataclass(frozen=True)
class _Segment:
    name: str
    layer: int
    """Layer of the segment. Without a layer (old versions): one layer per segment, or a single layer for all."""
    value: int | None
    """Label value; None (old versions) means every value except 0."""


def read_segment_names(path: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """Return the segment names of a NRRD in file order; None for other files, or a NRRD that is no segmentation.

    An empty segmentation gives an empty tuple. Raises `RadiographError` if two segments have the same name.
    """
    with open_source(path) as file:
        if file.read(7) != b"NRRD000":
            return None
        fields = read_itk_header(file, "nrrd")
        if not any(field.startswith("segmentation_") or _FIELD.fullmatch(field) for field in fields):
            return None
        return tuple(segment.name for segment in _segments(fields))


def read_slicer(path: str | os.PathLike[str], image: str | os.PathLike[str]) -> dict[str, NDArray[np.bool_]]:
    """Return segment name -> mask `(rows, columns)`, with the size and orientation of `image` in `read_radiograph`.

    The geometry of both files gives the position of the masks; nothing is resampled. Raises `RadiographError` if the
    geometry does not fit, or if a segment reaches outside the image.
    """
    grid = read_grid(image)
    with open_source(path) as file:
        if identify(file, path) != "nrrd":
            raise RadiographError("is not a NRRD file")
        fields = read_itk_header(file, "nrrd")
        layers = _place(read_volume(file, "nrrd"), grid, fields)
        segments = _segments(fields, len(layers))
        _check_values(layers, segments)
        turned = [turn_to_picture(layer, grid.axes, [])[0] for layer in layers]
        return {
            segment.name: np.ascontiguousarray(
                turned[segment.layer] != 0 if segment.value is None else turned[segment.layer] == segment.value
            )
            for segment in segments
        }


def _segments(fields: Mapping[str, str], num_layers: int = 1) -> list[_Segment]:
    """Return the segments that the header describes."""
    described: dict[int, dict[str, str]] = {}
    for field, text in fields.items():
        if found := _FIELD.fullmatch(field):
            described.setdefault(int(found[1]), {})[found[2]] = _as_utf8(text)
    segments = []
    for index, segment in sorted(described.items()):
        name = (segment.get("name") or segment.get("id") or "").strip()
        if not name:
            raise RadiographError(f"Segment{index}_Name is missing")
        value = _whole(segment, "labelvalue", index) if "labelvalue" in segment else None
        layer = _whole(segment, "layer", index) if "layer" in segment else index * (num_layers > 1)
        segments.append(_Segment(name, layer, value))
    names = sorted(segment.name.casefold() for segment in segments)
    if doubled := [name for name, following in pairwise(names) if name == following]:
        raise RadiographError(f"has two segments named {doubled[0]}. Give each segment its own name")
    return segments


def _whole(segment: Mapping[str, str], key: str, index: int) -> int:
    if not re.fullmatch(r"\s*\d{1,9}\s*", segment[key]):
        field = {"labelvalue": "LabelValue", "layer": "Layer"}[key]
        raise RadiographError(f"Segment{index}_{field} must be a single whole number")
    return int(segment[key])


def _as_utf8(text: str) -> str:
    """Decode a header value as UTF-8; the header was decoded as Latin-1."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text


def _check_values(layers: NDArray[Any], segments: list[_Segment]) -> None:
    """Raise `RadiographError` unless each segment has a layer, and each value except 0 has a segment."""
    if beyond := [segment for segment in segments if segment.layer >= len(layers)]:
        raise RadiographError(f"has {len(layers)} layers, but segment {beyond[0].name} is in layer {beyond[0].layer}")
    for index, layer in enumerate(layers):
        values = [segment.value for segment in segments if segment.layer == index]
        if len(set(values)) < len(values) or (None in values and len(values) > 1):
            raise RadiographError("has two segments with the same layer and the same label value")
        unknown = [] if None in values else sorted(set(np.unique(layer).tolist()) - {0, *values})
        if unknown:
            raise RadiographError(f"label values {unknown[:10]} belong to no segment", "labels")


@dataclass(frozen=True, eq=False)
class _Aligned:
    """A segmentation whose axes have the order and direction of the image axes."""

    values: NDArray[Any]
    """`(layer, column, row, slice)`."""
    first: NDArray[np.float64]
    """`(3,)`: center of the first pixel in mm."""
    spacing: NDArray[np.float64]
    """`(3,)`: spacing in mm."""
    order: NDArray[np.intp]
    """File axis that runs along each image axis."""
    flipped: NDArray[np.bool_]
    """Whether that file axis had the opposite direction."""

    @property
    def size(self) -> NDArray[np.int_]:
        """Columns, rows and slices."""
        return np.array(self.values.shape[1:])


def _place(volume: Volume, grid: Grid, fields: Mapping[str, str]) -> NDArray[Any]:
    """Return the layers `(layer, column, row)` on the stored pixels of the image, 0 outside the segmentation."""
    placed = np.zeros((len(volume.values), *grid.size), volume.values.dtype)
    if volume.values[0].size == 1:  # Slicer saves an empty segmentation as one pixel without a valid geometry
        return placed
    aligned = _align(volume, grid)
    if grid.origin is None or grid.spacing is None:
        start = _start_without_position(aligned, grid, fields)
    else:
        _check_spacing(aligned, grid.spacing)
        start = grid.directions.T @ (aligned.first - grid.origin) / grid.spacing
    if (np.abs(start - np.rint(start))[:2] > _UNEVEN).any():
        raise RadiographError(f"lies between the pixels of its image. {_EXPORT}")
    return _copy(aligned.values, np.rint(start).astype(int), placed)


def _align(volume: Volume, grid: Grid) -> _Aligned:
    """Exchange and flip the axes of the segmentation to match its image."""
    spacing = measure_spacing(volume.origin, volume.steps)
    relative = grid.directions.T @ (volume.steps / spacing)
    nearest = np.rint(relative)
    if (np.abs(relative - nearest) > _OBLIQUE).any() or (np.abs(nearest).sum(axis=0) != 1).any():
        raise RadiographError(f"is rotated relative to its image. {_EXPORT}")
    order = np.abs(nearest).argmax(axis=1)
    flipped = nearest[range(3), order] < 0
    values = np.flip(volume.values.transpose(0, *(order + 1)), tuple(np.flatnonzero(flipped) + 1))
    first = volume.origin + volume.steps[:, order] @ ((np.array(values.shape[1:]) - 1) * flipped)
    return _Aligned(values, first, spacing[order], order, flipped)


def _copy(values: NDArray[Any], start: NDArray[np.int_], placed: NDArray[Any]) -> NDArray[Any]:
    """Copy `values` into `placed` at `start`. Raises `RadiographError` if a segment reaches outside."""
    begin, end = np.maximum(start, 0), np.minimum(start + values.shape[1:], (*placed.shape[1:], 1))
    end = np.maximum(begin, end)
    inside = values[(slice(None), *map(slice, begin - start, end - start))]
    if np.count_nonzero(inside) < np.count_nonzero(values):
        raise RadiographError(f"has segments outside its image. {_EXPORT}")
    if inside.shape[-1]:
        placed[:, begin[0] : end[0], begin[1] : end[1]] = inside[..., 0]
    return placed


def _check_spacing(aligned: _Aligned, wanted: NDArray[np.float64]) -> None:
    """Raise `RadiographError` if the pixel sizes differ so much that the image edges are a tenth of a pixel apart."""
    if ((np.abs(aligned.spacing / wanted - 1) * aligned.size)[:2] > _UNEVEN).any():
        shown = [f"{mm[0]:g} x {mm[1]:g} mm" for mm in (aligned.spacing, wanted)]
        raise RadiographError(f"has pixels of {shown[0]}, but its image has {shown[1]}. {_EXPORT}")


def _start_without_position(aligned: _Aligned, grid: Grid, fields: Mapping[str, str]) -> NDArray[np.float64]:
    """Return the first pixel of a segmentation on an image without a position.

    It comes from the offset that Slicer saves, else from the origin: for Slicer such an image starts at zero.
    """
    full = np.array([*grid.size, 1])
    cropped = (aligned.size != full)[:2].any()
    reference = _REFERENCE.search(fields.get(_PARAMETERS, ""))
    numbers = [float(part) for part in _NUMBER.findall(reference[1])] if reference else []
    if known := len(numbers) == 22:  # a matrix of 4 x 4, then first and last column, row and slice
        ends = np.array(numbers[16:]).reshape(3, 2)[aligned.order]
        drawn = ends[:, 1] - ends[:, 0] + 1
        if (drawn != full)[:2].any():
            shown = [f"{n[0]:g} x {n[1]:g}" for n in (drawn, full)]
            raise RadiographError(f"was drawn on {shown[0]} pixels (columns x rows), but its image has {shown[1]}")
        matrix = np.array(numbers[:16]).reshape(4, 4)[:3, :3]
        _check_spacing(aligned, np.linalg.norm(matrix, axis=0)[aligned.order])
    offset = [int(part) for part in fields.get(_OFFSET, "").split() if re.fullmatch(r"-?\d{1,9}", part)]
    start = np.zeros(3)
    if len(offset) == 3:
        start += np.array(offset)[aligned.order]
        start[aligned.flipped] = (full - aligned.size - start)[aligned.flipped]
    elif cropped:
        start = grid.directions.T @ aligned.first / aligned.spacing
    if cropped and not known and not start[:2].any():
        shown = [f"{n[0]} x {n[1]}" for n in (aligned.size, full)]
        raise RadiographError(
            f"has {shown[0]} pixels (columns x rows) and no position in its header, but its image has {shown[1]}. "
            f"{_EXPORT}"
        )
    return start
