"""Position, area and outline of masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def measure_areas(
    masks: NDArray[np.bool_], classes: Sequence[str], spacing_mm: tuple[float, float] | None
) -> dict[str, int | float]:
    """The areas `area_px_<class>`, and also `area_mm2_<class>` if `spacing_mm`, `(row, column)`, is known.

    `masks` is `(class, rows, columns)`.
    """
    areas: dict[str, int | float] = {}
    for name, mask in zip(classes, masks, strict=True):
        areas[f"area_px_{name}"] = int(np.count_nonzero(mask))
        if spacing_mm is not None:
            areas[f"area_mm2_{name}"] = areas[f"area_px_{name}"] * spacing_mm[0] * spacing_mm[1]
    return areas


def measure_position(mask: NDArray[np.bool_]) -> tuple[float, float, float] | None:
    """Area, center row and center column of a mask `(rows, columns)`, as shares of the image; None if it is empty."""
    count = np.count_nonzero(mask)
    if not count:
        return None
    row, column = (
        (float(mask.sum(axis) @ np.arange(size)) / count + 0.5) / size
        for axis, size in ((1, mask.shape[0]), (0, mask.shape[1]))
    )
    return count / mask.size, row, column


def measure_outline(mask: NDArray[np.bool_]) -> float:
    """Number of pixel edges around a mask `(rows, columns)`, by the square root of its area; 0 if it is empty.

    A square has 4, whatever its size. A ragged mask, and one in many parts, has a long outline.
    """
    padded = np.pad(mask, 1)
    edges = np.count_nonzero(padded[1:] != padded[:-1]) + np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    return float(edges / max(int(np.count_nonzero(mask)), 1) ** 0.5)


def measure_extent(masks: NDArray[np.bool_]) -> float | None:
    """The longer side of the box around all masks `(class, rows, columns)`, as a share of the image; None if empty."""
    union: NDArray[np.bool_] = np.logical_or.reduce(masks)
    if not union.any():
        return None
    rows, columns = find_box(union)
    return float(max((rows.stop - rows.start) / union.shape[0], (columns.stop - columns.start) / union.shape[1]))


def find_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of the smallest box around a mask. The mask must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
