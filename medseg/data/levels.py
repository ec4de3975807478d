"""The levels of one mask file: small numbers, kept of every case, by which a whole set is judged."""

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
"""More levels than these are blur rather than labels, unless areas tell otherwise."""
_AREA = 0.1
"""Share of a level's pixels that lie among their like from which it fills areas: a square of 3 x 3 has a ninth."""
_END = 1 / 8
"""Of the range: what is nearer to the least or the greatest level, as the ringing of JPEG is, counts to that."""
_PEAKS, _MANY = 0.4, 0.1
"""Share of the pixels between that nothing beside them outshines, and how many that are of the lesser side: borders
blurred by JPEG, resampling or smoothing have up to a quarter, areas and lines of a label map from a half on."""


@dataclass(frozen=True)
class Levels:
    """What a file of values holds; one object for all classes that share the file."""

    path: Path
    values: tuple[float, ...]
    """Least first; of more than 256 the first 255 and the greatest."""
    counts: tuple[int, ...]
    """Pixels of each of `values`."""
    total: int
    """How many levels there are."""
    mapped: bool
    """More than two levels fill areas or lines, as in a label map; two whose borders are blurred do not."""
    lossy: bool
    known: Values
    """The values that mean something, 0 apart; empty where nobody has declared any."""
    alone: bool
    """The file lies in a folder or column of its class."""
    colors: Mapping[int, Color] = field(default_factory=dict)
    """Those of a palette by label value; empty where the file has none."""


def measure_levels(label: LabelImage, path: Path, known: Values, alone: bool) -> Levels:
    """The levels of `label`, which was read from `path`."""
    found, counts = _count(label.values)
    kept = [*range(min(len(found), _KEPT) - 1), len(found) - 1]
    return Levels(
        path=path,
        values=tuple(found[kept].astype(float).tolist()),
        counts=tuple(counts[kept].tolist()),
        total=len(found),
        mapped=not known and len(found) > 2 and _is_mapped(label.values, found, counts, label.lossy),
        lossy=label.lossy,
        known=known,
        alone=alone,
        colors=label.colors,
    )


def _count(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int_]]:
    """The levels, least first, and how many pixels have each."""
    low = values.min()
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 4 and int(values.max()) - int(low) < _COUNTED:
        counts = np.bincount((values.astype(np.int64) - int(low)).ravel())  # many times faster than sorting
        found = np.flatnonzero(counts)
        return found + int(low), counts[found]
    return np.unique(values, return_counts=True)


def _is_mapped(values: NDArray[Any], found: NDArray[Any], counts: NDArray[np.int_], lossy: bool) -> bool:
    """Whether more than two levels, of at least three, fill areas or lines."""
    inner = values[1:-1, 1:-1].astype(np.float64)
    if not inner.size:
        return True
    low, high = float(found[0]), float(found[-1])
    margin = (high - low) * _END
    if not lossy and found[-2] <= low + margin:  # as in 0, 1, 255; blur has levels at both ends
        return True
    highest, lowest = _of_neighbours(values, np.maximum), _of_neighbours(values, np.minimum)
    filled, filling = np.unique(inner[highest == lowest], return_counts=True)
    solid = filled[filling >= _AREA * counts[np.searchsorted(found, filled)]]
    if not lossy and len(found) <= _FEW and len(solid) > 2:
        return True
    half = (low + high) / 2
    low = min(solid[solid < half], default=low)  # beyond these is ringing
    high = max(solid[solid >= half], default=high)
    margin = (high - low) * _END
    if ((solid > low + margin) & (solid < high - margin)).any():
        return True
    between = (inner > low + margin) & (inner < high - margin)
    peaks = between & (highest - inner <= margin / 2)
    above = int(np.count_nonzero(values > half))
    return bool(peaks.sum() > max(_PEAKS * between.sum(), _MANY * min(above, values.size - above)))


def _of_neighbours(values: NDArray[Any], choose: Any) -> NDArray[Any]:
    """The greatest or least of the nine pixels around each inner one."""
    rows = choose(choose(values[:-2], values[1:-1]), values[2:])
    return np.asarray(choose(choose(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))
