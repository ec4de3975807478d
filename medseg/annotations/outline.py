"""Outlines of masks, with few corners."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from contourpy import FillType, contour_generator

from medseg.annotations.runs import Mask
from medseg.annotations.shape import Ring, Shape

_REACH = 0.49
"""Pixels by which a new side may pass a corner of the contour towards a pixel center, which is half a pixel away."""


def outline(label: str, mask: Mask) -> tuple[Shape, ...]:
    """Return one shape per connected part of a mask `(rows, columns)`: its outline, then the outlines of its holes.

    Drawn again, the shapes give exactly this mask. Every corner lies midway between two pixel centers, so coordinates
    are multiples of a half, and no side is more than half a pixel from the contour at one half, of which corners were
    left out.
    """
    if not mask.any():
        return ()
    padded = np.pad(mask, 1).astype(np.float64)
    x, y = np.arange(padded.shape[1]) - 0.5, np.arange(padded.shape[0]) - 0.5
    found: Any = contour_generator(x, y, padded, fill_type=FillType.OuterOffset).filled(0.5, 2)
    return tuple(
        Shape(label, tuple(_simplify(points[begin : end - 1]) for begin, end in pairwise(at)))
        for points, at in zip(*found, strict=True)
    )


def join_rings(rings: Sequence[Ring]) -> Ring:
    """Return one ring that encloses the same pixels as several, for formats that know no holes.

    Each further ring is reached through a cut without width, walked in both directions.
    """
    joined = rings[0]
    for ring in rings[1:]:
        distances = np.square(joined[:, None] - ring[None, :1]).sum(axis=2).ravel()
        here = int(distances.argmin())
        there = int(np.square(ring - joined[here]).sum(axis=1).argmin())
        turned = np.roll(ring, -there, axis=0)
        joined = np.concatenate([joined[: here + 1], turned, turned[:1], joined[here:]])
    return joined


def _simplify(ring: Ring) -> Ring:
    """Leave out corners as long as the new sides pass between the same pixel centers: the longest side, then the next.

    Each corner of the contour lies midway between the centers of two neighbors, one inside and one outside. Sides that
    pass between the same neighbors in the same order stay in the same squares of four centers, so they separate the
    same centers (Imai and Iri, 1986, with such gaps as the tolerance).
    """
    closed = np.concatenate([ring, ring[:1]])
    kept = [0]
    while kept[-1] < len(ring):
        begin, reach, step = kept[-1], 1, 2
        while begin + step <= len(ring) and _passes(closed[begin : begin + step + 1]):
            reach, step = step, 2 * step
        beyond = min(step, len(ring) + 1 - begin)
        while beyond - reach > 1:
            middle = (reach + beyond) // 2
            reach, beyond = (middle, beyond) if _passes(closed[begin : begin + middle + 1]) else (reach, middle)
        kept.append(begin + reach)
    return closed[kept[:-1]]


def _passes(corners: Ring) -> bool:
    """Return whether the side from the first to the last corner passes between the neighbors of all others."""
    start, along = corners[0], corners[-1] - corners[0]
    inner = corners[1:-1]
    axis = (inner[:, 0] % 1 == 0).astype(np.int64)  # neighbors in a row: the side is met at the y of the corner
    each = np.arange(len(inner))
    if (along[axis] == 0).any():
        return False
    position = (inner - start)[each, axis] / along[axis]
    beside = (start + position[:, None] * along - inner)[each, 1 - axis]
    return bool((np.abs(beside) <= _REACH).all() and (position >= 0).all() and (position <= 1).all())
