"""Random anatomy of a synthetic adult chest, and the curves that several organs share.

Synthetic, not clinical: made from formulas, not from patient data. Patient coordinates are mm in the detector plane: x
grows to the right of the image (the patient's left), y grows downward. The origin is on the midline, half-way between
the lung apices and the costophrenic angles. `side` is -1 for the patient's right and 1 for the left; `across` is
`side * x`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Anatomy:
    """Sizes and positions of one synthetic patient: mm in the detector plane; names with `_cm`: cm along the ray."""

    lung_height: float
    lung_half_width: float
    side_scale: float
    diaphragm_difference: float
    dome: float
    heart_scale: float
    heart_height: float
    heart_shift: float
    knob: float
    mediastinum: float
    chest_depth_cm: float
    lung_depth_cm: float
    body_margin: float
    breast_cm: float
    breast_y: float
    rib_slant: float
    rib_drop: float
    rib_radius: float
    vertebra_height: float
    clavicle_y: float
    clavicle_slope: float
    clavicle_bend: float
    scapula_shift: float
    twist: float
    bubble_cm: float
    vessel_seed: int

    @property
    def apex_y(self) -> float:
        """Coordinate y of the lung apices."""
        return -self.lung_height / 2

    def half_width(self, side: int) -> float:
        """Return the greatest distance of a lung's outer border from the midline; the right is `side_scale` wider."""
        return self.lung_half_width * (1 - side * self.side_scale)

    def dome_y(self, side: int) -> float:
        """Return y of the top of a hemidiaphragm; the right one is higher because of the liver."""
        return self.lung_height / 2 - self.dome + (self.diaphragm_difference if side > 0 else 0.0)


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a random adult: visible breasts with probability 50 %, stomach gas with probability 60 %."""
    height = rng.uniform(240, 290)
    return Anatomy(
        lung_height=height,
        lung_half_width=rng.uniform(120, 143),
        side_scale=rng.uniform(-0.02, 0.05),
        diaphragm_difference=rng.uniform(5, 16),
        dome=rng.uniform(32, 52),
        heart_scale=rng.uniform(0.88, 1.2),
        heart_height=rng.uniform(105, 130),
        heart_shift=rng.uniform(-4, 8),
        knob=rng.uniform(4, 12),
        mediastinum=rng.uniform(-3, 6),
        chest_depth_cm=rng.uniform(19, 25),
        lung_depth_cm=rng.uniform(13, 16),
        body_margin=rng.uniform(16, 38),
        breast_cm=rng.uniform(1.5, 4.5) if rng.random() < 0.5 else 0.0,
        breast_y=rng.uniform(50, 80),
        rib_slant=rng.uniform(0.05, 0.22),
        rib_drop=rng.uniform(78, 104),
        rib_radius=rng.uniform(4.6, 6.2),
        vertebra_height=height / rng.uniform(10.5, 12.0),
        clavicle_y=rng.uniform(26, 46),
        clavicle_slope=rng.uniform(0.02, 0.3),
        clavicle_bend=rng.uniform(3, 8),
        scapula_shift=rng.uniform(-12, 22),
        twist=rng.uniform(-6, 6),
        bubble_cm=rng.uniform(3, 7) if rng.random() < 0.6 else 0.0,
        vessel_seed=int(rng.integers(2**31)),
    )


def find_lung_border(anatomy: Anatomy, side: int, u: Map) -> Map:
    """Return `across` of a lung's outer border, mm, at relative lung height `u` (0: apex, 1: costophrenic angle)."""
    width = anatomy.half_width(side)
    fall = 1 - (1 - np.clip(u / 0.85, 0, 1)) ** 2.4
    border: Map = width * (0.44 + 0.56 * fall**0.58)
    return border


def interpolate(knots: Sequence[tuple[float, float]], at: Map) -> Map:
    """Interpolate `(position, value)` knots smoothly without overshoot (PCHIP), constant outside the knots."""
    positions, values = zip(*knots, strict=True)
    grid = np.linspace(positions[0], positions[-1], 512)
    curve: Map = np.interp(at, grid, PchipInterpolator(positions, values)(grid)).astype(np.float32)
    return curve


def ramp(distance: Map, width: float) -> Map:
    """Rise smoothly from 0 at `distance` 0 to 1 at `width`."""
    t = np.clip(distance / width, 0, 1)
    risen: Map = t * t * (3 - 2 * t)
    return risen


def round_off(t: Map) -> Map:
    """Follow a quarter circle from 0 at t = 0 (vertical slope) to 1 at t = 1; constant outside."""
    arc: Map = np.sqrt(1 - (1 - np.clip(t, 0, 1)) ** 2)
    return arc
