"""Soft tissue of the synthetic chest: path lengths of the rays in cm, and outlines. Synthetic, not clinical.

Arguments `x`, `y` are maps `(rows, columns)` of patient coordinates in mm (see anatomy.py).
"""

import math

import numpy as np
from numpy.typing import NDArray

from medseg.phantom.anatomy import Anatomy, Map, Mask, find_lung_border, interpolate, ramp, round_off


def build_body(anatomy: Anatomy, x: Map, y: Map) -> Map:
    """Return the path from skin to skin, cm: neck, shoulders, chest, abdomen, and breasts if visible."""
    flank, top = anatomy.lung_half_width + anatomy.body_margin, anatomy.apex_y
    knots: list[tuple[float, float]] = [
        (top - 90, 56),
        (top - 45, 60),
        (top - 22, 84),
        (top, 140),
        (top + 22, 190),
        (top + 60, 212),
    ]
    knots += [(top + 105, 210), (top + 130, flank + 14), (top + 150, flank), (250, flank + 4)]
    half = interpolate(knots, y)
    depth = interpolate([(top - 60, 13), (top + 10, 18), (top + 60, 22), (20, 22), (150, 24)], y)
    body: Map = depth * (anatomy.chest_depth_cm / 22) * np.clip(1 - np.abs(x / half) ** 4, 0, None) ** 0.5
    if anatomy.breast_cm:
        for side in (-1, 1):
            down = (y - anatomy.breast_y) / np.where(y > anatomy.breast_y, np.float32(42), 75)
            across = (side * x - 0.62 * anatomy.lung_half_width) / (0.52 * anatomy.lung_half_width)
            body += anatomy.breast_cm * np.sqrt(np.clip(1 - down**2 - across**2, 0, None)) * (body > 0)
    return body


def build_lung(anatomy: Anatomy, side: int, x: Map, y: Map) -> tuple[Map, Mask]:
    """Return one lung without the heart: aerated tissue along the ray, cm, and the area that a reader outlines."""
    across, width = side * x, anatomy.half_width(side)
    u = (y - anatomy.apex_y) / anatomy.lung_height
    outer = find_lung_border(anatomy, side, u)
    inner = 0.44 * width - (0.44 * width - _find_mediastinum(anatomy, side, u)) * round_off(u / 0.2) ** 1.2
    middle = 0.5 * width
    lateral = np.clip((across - middle) / (width - middle), 0, None) ** 2.3
    medial = np.clip((middle - across) / middle, 0, 1) ** 2
    below = y - (anatomy.dome_y(side) + anatomy.dome * lateral + 10 * medial)
    inside = (across > inner) & (across < outer) & (u > 0) & (below < 0)
    section = np.sqrt(np.clip(1 - (across / outer) ** 2, 0, None))
    depth = anatomy.lung_depth_cm * (0.35 + 0.65 * ramp(u, 0.4))
    recess = 0.25 * np.exp(-np.maximum(below, 0) / 16)  # the lung continues behind the dome
    recess += (1 - recess) * np.clip(0.5 - below / 1.5, 0, 1)
    edge = ramp((across - inner) / (6 + 34 * ramp(u - 0.5, 0.3)), 1)  # behind the heart the lung gets gradually thinner
    return depth * section * edge * recess * (u > 0) * (across < outer), inside


def _find_mediastinum(anatomy: Anatomy, side: int, u: Map) -> Map:
    """Return how far the great vessels reach to one side of the midline, mm, at relative lung height `u`."""
    if side < 0:
        knots = [(0, 22.0), (0.2, 23.0), (0.35, 26.0), (0.5, 24.0), (1, 22.0)]
    else:  # the aortic knob, the window below it, the pulmonary trunk
        k = anatomy.knob
        knots = [
            (0, 22.0),
            (0.17, 21),
            (0.24, 22 + k),
            (0.29, 23 + k),
            (0.35, 20),
            (0.44, 25 + 0.4 * k),
            (0.55, 24),
            (1, 22),
        ]
    return interpolate([(at, value + anatomy.mediastinum) for at, value in knots], u)


def find_heart_depth(anatomy: Anatomy, x: Map, y: Map) -> Map:
    """Return the distance from the heart outline along the row, mm, negative outside: an egg pointing to the left."""
    v = (y - (anatomy.dome_y(1) + 12 - anatomy.heart_height)) / anatomy.heart_height
    right = interpolate([(0, 16), (0.15, 27), (0.4, 37), (0.7, 41), (1, 34)], v)
    left = interpolate([(0, 18), (0.2, 32), (0.45, 55), (0.75, 80), (0.9, 82), (1, 70)], v)
    half = anatomy.heart_scale * (left + right) / 2 * (round_off(v / 0.2) * round_off((1 - v) / 0.22)) ** 0.8
    center = anatomy.heart_scale * (left - right) / 2 + anatomy.heart_shift
    return np.where((v > 0) & (v < 1), half - np.abs(x - center), -np.inf).astype(np.float32)


def build_gas(anatomy: Anatomy, x: Map, y: Map) -> Map:
    """Return the air in trachea, main bronchi and stomach (above a fluid level) along the ray, cm."""
    carina = anatomy.apex_y + 0.36 * anatomy.lung_height
    lean = 4 * np.clip(1 - (carina - y) / 60, 0, 1)  # the aortic arch pushes the trachea to the patient's right
    gas = 0.2 * np.sqrt(np.clip(8.5**2 - (x + lean) ** 2, 0, None)) * ramp(carina + 4 - y, 8)
    for side, slope in ((-1, 1.3), (1, 0.85)):
        across = side * (x + 4)
        offset = (y - carina - slope * across) / math.hypot(1, slope)
        gas += 0.2 * np.sqrt(np.clip(6**2 - offset**2, 0, None)) * ramp(across, 6) * ramp(42 - across, 12)
    if anatomy.bubble_cm:
        level = anatomy.dome_y(1) + 30
        round_ = 1 - ((x - 66) / 30) ** 2 - ((y - level) / 20) ** 2
        gas += anatomy.bubble_cm * np.sqrt(np.clip(round_, 0, None)) * (y < level)
    return gas.astype(np.float32)


def draw_vessels(anatomy: Anatomy) -> NDArray[np.float64]:
    """Draw pulmonary vessels as straight pieces `(pieces, 5)`: start x, y, end x, y and diameter in mm, thickest first.

    They fan out from each hilum and fork. Each branch turns by a random angle and has 0.66 of the diameter.
    """
    rng = np.random.default_rng(anatomy.vessel_seed)
    pieces = []
    for side in (-1, 1):
        hilum = np.array(
            [side * (30 + anatomy.mediastinum), anatomy.apex_y + (0.45 - 0.02 * side) * anatomy.lung_height]
        )
        angles = np.linspace(-1.35, 1.45, 7) + rng.normal(0, 0.15, 7)
        starts = hilum + np.stack([np.zeros(7), 14 * np.sin(angles)], axis=1)
        diameter = 11 * rng.uniform(0.7, 1.2, 7)
        for generation in range(6):
            length = rng.uniform(12, 30, angles.size) * (1.1 - 0.06 * generation)
            ends = starts + length[:, None] * np.stack([side * np.cos(angles), np.sin(angles)], axis=1)
            pieces.append(np.column_stack([starts, ends, diameter]))
            spread = rng.uniform(0.12, 0.5, angles.size)
            angles = np.concatenate([angles + spread, angles - spread])
            starts, diameter = np.concatenate([ends, ends]), np.concatenate([diameter, diameter]) * 0.66
    return np.concatenate(pieces)
