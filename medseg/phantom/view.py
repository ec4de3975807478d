"""View of a synthetic radiograph: pose of the patient, open field, lead letter and exposure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.phantom.anatomy import Map, Mask

LETTERS = {
    "L": ("XX....", "XX....", "XX....", "XX....", "XX....", "XXXXXX", "XXXXXX"),
    "R": ("XXXXX.", "XX..XX", "XX..XX", "XXXXX.", "XXXX..", "XX.XX.", "XX..XX"),
}


@dataclass(frozen=True)
class View:
    """Pose of the patient, geometry and exposure of one radiograph."""

    shape: tuple[int, int]
    """`(rows, columns)`."""
    spacing_mm: float
    turn_degrees: float
    shift_mm: tuple[float, float]
    """Shift of the patient, `(x, y)`."""
    bend_mm: float
    """Sideways bend of the trunk, an arc."""
    field: tuple[float, float, float, float]
    """Open field of the collimator: top, bottom, left, right as fractions of the detector."""
    marker: str | None
    """Lead letter, L or R, on that side of the patient; None without a letter."""
    marker_at: tuple[float, float]
    """Distance of the letter from the top and from the nearer side of the open field, as fractions of the detector."""
    marker_mm: float
    scatter_fraction: float
    """Share of scattered quanta behind the patient and the grid."""
    quanta: float
    """Quanta per pixel in the open beam."""
    blur_pixels: float
    """Standard deviation of the blur of focal spot and detector together."""
    detail: float
    """Strength of the enhancement of fine detail."""
    gamma: float
    """Gamma of the display scale."""
    margins: tuple[float, float]
    """Margins of the display range below and above the range of the patient, as fractions of that range."""


def draw_view(rng: np.random.Generator, size: int) -> View:
    """Draw a random pose and exposure on a detector with `size` rows and about as many columns."""
    columns = round(size * rng.uniform(0.94, 1.06))
    closed = rng.uniform(0.01, 0.06, 4) * (rng.random(4) < 0.35)
    return View(
        shape=(size, columns),
        spacing_mm=round(rng.uniform(335, 380) / size, 4),
        turn_degrees=rng.normal(0, 1.8),
        shift_mm=(rng.normal(0, 6), rng.normal(-2, 7)),
        bend_mm=rng.normal(0, 3),
        field=(closed[0], 1 - closed[1], closed[2], 1 - closed[3]),
        marker=str(rng.choice(["L", "R"])) if rng.random() < 0.85 else None,
        marker_at=(rng.uniform(0.03, 0.1), rng.uniform(0.02, 0.05)),
        marker_mm=rng.uniform(13, 18),
        scatter_fraction=rng.uniform(0.2, 0.45),
        quanta=10 ** rng.uniform(4.5, 5.5),
        blur_pixels=rng.uniform(0.5, 0.8),
        detail=rng.uniform(0.3, 0.9),
        gamma=rng.uniform(0.8, 1.2),
        margins=(rng.uniform(0.05, 0.2), rng.uniform(0.0, 0.08)),
    )


def locate_in_patient(view: View) -> tuple[Map, Map]:
    """Return patient coordinates `x`, `y` of every pixel center in mm."""
    rows, columns = view.shape
    right = (np.arange(columns, dtype=np.float32) - (columns - 1) / 2) * view.spacing_mm - view.shift_mm[0]
    down = ((np.arange(rows, dtype=np.float32) - (rows - 1) / 2) * view.spacing_mm - view.shift_mm[1])[:, None]
    angle = np.deg2rad(view.turn_degrees)
    x = (np.cos(angle) * right + np.sin(angle) * down).astype(np.float32)
    y = (np.cos(angle) * down - np.sin(angle) * right).astype(np.float32)
    return x + view.bend_mm * np.cos(y / 90), y


def find_pixels(view: View, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return columns and rows of patient coordinates; the inverse of `locate_in_patient`."""
    angle = np.deg2rad(view.turn_degrees)
    x = x - view.bend_mm * np.cos(y / 90)
    right = np.cos(angle) * x - np.sin(angle) * y + view.shift_mm[0]
    down = np.sin(angle) * x + np.cos(angle) * y + view.shift_mm[1]
    rows, columns = view.shape
    return right / view.spacing_mm + (columns - 1) / 2, down / view.spacing_mm + (rows - 1) / 2


def open_field(view: View) -> Mask:
    """Return the mask of pixels inside the collimator opening."""
    rows, columns = view.shape
    top, bottom, left, right = view.field
    across = (np.arange(columns) >= left * columns) & (np.arange(columns) < right * columns)
    down = (np.arange(rows) >= top * rows) & (np.arange(rows) < bottom * rows)
    return down[:, None] & across


def place_marker(view: View) -> Map:
    """Return the lead along the ray, cm: a letter 2 mm thick in an upper corner of the open field."""
    lead = np.zeros(view.shape, dtype=np.float32)
    if view.marker is None:
        return lead
    dot = max(1, round(view.marker_mm / 7 / view.spacing_mm))
    letter = np.kron([[mark == "X" for mark in line] for line in LETTERS[view.marker]], np.ones((dot, dot))) * 0.2
    rows, columns = view.shape
    top = round((view.field[0] + view.marker_at[0]) * rows)
    left = round((view.field[2] + view.marker_at[1]) * columns)
    if view.marker == "L":  # the patient's left is the image's right
        left = round((view.field[3] - view.marker_at[1]) * columns) - letter.shape[1]
    lead[top : top + letter.shape[0], left : left + letter.shape[1]] = letter
    return lead
