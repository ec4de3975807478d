"""Levels of one mask file: a small summary per case, used to check the masks of a whole data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.data.case import Values
from medseg.radiograph.channels import Color
from medseg.radiograph.mask import LabelImage

_KEPT = 256
_COUNTED = 1 << 16
_FEW = 32
"""More levels than this are blur rather than labels, unless they fill areas."""
_AREA = 0.1
"""A level fills areas if at least this share of its pixels has equal neighbors; in a 3 x 3 square it is a ninth."""
_END = 1 / 8
"""Levels within this share of the range from the least or greatest level count as that level (JPEG ringing)."""
_PEAKS, _MANY = 0.4, 0.1
"""In a label map, local maxima exceed these shares of the in-between pixels, and of the smaller of foreground and
background. Borders blurred by JPEG, resampling or smoothing have up to a quarter, areas and lines at least a half."""


@dataclass(frozen=True)
class Levels:
    """Levels of a mask file; classes that share the file share one object."""

    path: Path
    values: tuple[float, ...]
    """Levels in ascending order; if there are more than 256, the first 255 and the greatest."""
    counts: tuple[int, ...]
    """Number of pixels of each level in `values`."""
    total: int
    """Number of levels in the file."""
    mapped: bool
    """Whether more than two levels fill areas or lines, as in a label map; blurred borders do not count."""
    lossy: bool
    known: Values
    """Declared values except 0; empty if no values are declared."""
    alone: bool
    """Whether the file is in a folder or column of its class."""
    colors: Mapping[int, Color] = field(default_factory=dict)
    """Palette colors by label value; empty if the file has no palette."""
    is_color: bool = False
    """Whether the levels are packed colors; of more than 256, the most frequent are kept."""


def measure_levels(label: LabelImage, path: Path, known: Values, alone: bool) -> Levels:
    """Return the levels of `label`, which was read from `path`."""
    found, counts = _count(label.values)
    kept = [*range(min(len(found), _KEPT) - 1), len(found) - 1]
    if label.is_color:
        kept = np.sort(np.argsort(counts)[-_KEPT:]).tolist()
    return Levels(
        path=path,
        values=tuple(found[kept].astype(float).tolist()),
        counts=tuple(counts[kept].tolist()),
        total=len(found),
        mapped=not known
        and not label.is_color
        and len(found) > 2
        and _is_mapped(label.values, found, counts, label.lossy),
        lossy=label.lossy,
        known=known,
        alone=alone,
        colors=label.colors,
        is_color=label.is_color,
    )


def _count(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int_]]:
    """Return the levels in ascending order and the number of pixels of each."""
    low = values.min()
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 4 and int(values.max()) - int(low) < _COUNTED:
        counts = np.bincount((values.astype(np.int64) - int(low)).ravel())  # many times faster than sorting
        found = np.flatnonzero(counts)
        return found + int(low), counts[found]
    return np.unique(values, return_counts=True)


def _is_mapped(values: NDArray[Any], found: NDArray[Any], counts: NDArray[np.int_], lossy: bool) -> bool:
    """Return whether more than two levels fill areas or lines; `found` has at least three levels."""
    inner = values[1:-1, 1:-1].astype(np.float64)
    if not inner.size:
        return True
    low, high = float(found[0]), float(found[-1])
    margin = (high - low) * _END
    if not lossy and found[-2] <= low + margin:  # for example 0, 1, 255; blur has levels near both ends
        return True
    highest, lowest = _of_neighbors(values, np.maximum), _of_neighbors(values, np.minimum)
    filled, filling = np.unique(inner[highest == lowest], return_counts=True)
    solid = filled[filling >= _AREA * counts[np.searchsorted(found, filled)]]
    if not lossy and len(found) <= _FEW and len(solid) > 2:
        return True
    half = (low + high) / 2
    low = min(solid[solid < half], default=low)  # levels beyond these are ringing
    high = max(solid[solid >= half], default=high)
    margin = (high - low) * _END
    if ((solid > low + margin) & (solid < high - margin)).any():
        return True
    between = (inner > low + margin) & (inner < high - margin)
    peaks = between & (highest - inner <= margin / 2)
    above = int(np.count_nonzero(values > half))
    return bool(peaks.sum() > max(_PEAKS * between.sum(), _MANY * min(above, values.size - above)))


def _of_neighbors(values: NDArray[Any], choose: Any) -> NDArray[Any]:
    """Return the greatest or least value in the 3 x 3 pixels around each inner pixel."""
    rows = choose(choose(values[:-2], values[1:-1]), values[2:])
    return np.asarray(choose(choose(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))
