"""How a synthetic patient stands before the detector and how the film is taken: pose, field, lead letter, exposure."""

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
    """How the patient stood and how the film was taken."""

    shape: tuple[int, int]
    """`(rows, columns)`."""
    spacing_mm: float
    turn_degrees: float
    shift_mm: tuple[float, float]
    """Of the patient, `(x, y)`."""
    bend_mm: float
    """Sideways bend of the trunk, an arc."""
    field: tuple[float, float, float, float]
    """What the collimator leaves open: top, bottom, left, right as fractions of the detector."""
    marker: str | None
    """The lead letter, if any: on the side of the patient that it names."""
    marker_at: tuple[float, float]
    """Its place: distances from the open field's upper and nearer lateral edge, fractions of the detector."""
    marker_mm: float
    scatter_fraction: float
    """Share of scattered quanta behind the grid in what the patient lets through."""
    quanta: float
    """Per pixel in the open beam."""
    blur_pixels: float
    """Standard deviation of focal spot and detector together."""
    detail: float
    """How much the workstation raises fine detail."""
    gamma: float
    """Of the display scale."""
    margins: tuple[float, float]
    """How far the display range reaches beyond the patient's own, below and above, as fractions of it."""


def draw_view(rng: np.random.Generator, size: int) -> View:
    """A random pose and exposure on a detector of `size` rows and about as many columns."""
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
    """Patient coordinates `x`, `y` of every pixel centre, mm."""
    rows, columns = view.shape
    right = (np.arange(columns, dtype=np.float32) - (columns - 1) / 2) * view.spacing_mm - view.shift_mm[0]
    down = ((np.arange(rows, dtype=np.float32) - (rows - 1) / 2) * view.spacing_mm - view.shift_mm[1])[:, None]
    angle = np.deg2rad(view.turn_degrees)
    x = (np.cos(angle) * right + np.sin(angle) * down).astype(np.float32)
    y = (np.cos(angle) * down - np.sin(angle) * right).astype(np.float32)
    return x + view.bend_mm * np.cos(y / 90), y


def find_pixels(view: View, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Columns and rows of patient coordinates: the inverse of `locate_in_patient`."""
    angle = np.deg2rad(view.turn_degrees)
    x = x - view.bend_mm * np.cos(y / 90)
    right = np.cos(angle) * x - np.sin(angle) * y + view.shift_mm[0]
    down = np.sin(angle) * x + np.cos(angle) * y + view.shift_mm[1]
    rows, columns = view.shape
    return right / view.spacing_mm + (columns - 1) / 2, down / view.spacing_mm + (rows - 1) / 2


def open_field(view: View) -> Mask:
    """Where the collimator lets the beam through."""
    rows, columns = view.shape
    top, bottom, left, right = view.field
    across = (np.arange(columns) >= left * columns) & (np.arange(columns) < right * columns)
    down = (np.arange(rows) >= top * rows) & (np.arange(rows) < bottom * rows)
    return down[:, None] & across


def place_marker(view: View) -> Map:
    """Lead along the ray, cm: a letter 2 mm thick in an upper corner of the open field."""
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
