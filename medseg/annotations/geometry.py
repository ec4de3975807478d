"""Rings of the figures that annotation tools draw: polygons, rectangles and ellipses, turned or not."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from medseg.annotations.shape import Ring
from medseg.errors import RadiographError

_FARTHEST = 1e7  # pixels; ten times the longest side of any image, and safe in every product below
_SAGITTA = 0.01  # pixels between an ellipse and the chords that stand for it


def make_ring(points: Any) -> Ring:
    """Return points `(n, 2)` as a ring. Raises `RadiographError` if they are not finite or enclose no area."""
    corners = np.asarray(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2:
        raise RadiographError(f"needs points of x and y, but has numbers of shape {corners.shape}")
    if not (np.abs(corners) <= _FARTHEST).all():  # also false for NaN
        raise RadiographError("has a coordinate that is not a number, infinite or absurdly large")
    if len(corners) > 1 and (corners[0] == corners[-1]).all():
        corners = corners[:-1]
    if len(corners) < 3:
        raise RadiographError(f"has {len(corners)} different points, so it covers no area. Draw at least 3", "no_area")
    if measure_area(corners) == 0 and np.linalg.matrix_rank(corners - corners[0]) < 2:
        raise RadiographError("has all its points on one line, so it covers no area. Delete it", "no_area")
    return corners


def measure_area(ring: Ring) -> float:
    """Return the area that a ring encloses in square pixels (shoelace formula)."""
    x, y = (ring - ring[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def make_rectangle(x: float, y: float, width: float, height: float, degrees: float = 0, pivot: Any = None) -> Ring:
    """Return a rectangle by a corner and its sides, turned clockwise around `pivot` (its center if None)."""
    corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], np.float64)
    center = corners.mean(axis=0) if pivot is None else np.array(pivot, np.float64)
    return make_ring((corners - center) @ _turn(degrees) + center if degrees else corners)


def make_ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0) -> Ring:
    """Return an ellipse around x, y, turned clockwise; its chords are less than .01 pixel away from it."""
    radius = max(abs(radius_x), abs(radius_y))
    if not radius <= _FARTHEST:
        raise RadiographError("has a radius that is not a number, infinite or absurdly large")
    count = max(12, math.ceil(math.pi * math.sqrt(radius / (2 * _SAGITTA))))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return make_ring(np.stack([radius_x * np.cos(angles), radius_y * np.sin(angles)], 1) @ _turn(degrees) + (x, y))


def make_ellipse_of_axes(points: Sequence[Sequence[float]]) -> Ring:
    """Return an ellipse by both ends of its major axis, then both ends of its minor axis (DICOM)."""
    major, minor = np.diff(np.reshape(points, (2, 2, 2)).astype(np.float64), axis=1)[:, 0]
    x, y = np.asarray(points[:2], np.float64).mean(axis=0)
    degrees = math.degrees(math.atan2(major[1], major[0]))
    return make_ellipse(x, y, float(np.hypot(*major)) / 2, float(np.hypot(*minor)) / 2, degrees)


def _turn(degrees: float) -> Ring:
    """Return the matrix that turns row vectors clockwise, as seen on an image whose y grows downwards."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([(cosine, sine), (-sine, cosine)])
