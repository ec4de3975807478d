"""Bones of the synthetic chest: path lengths of the rays in cm of cortical bone. Synthetic, not clinical.

Arguments `x`, `y` are maps `(rows, columns)` of patient coordinates in mm (see anatomy.py). Long bones have a wall of
cortical bone around spongy bone, so their edges are brighter than their middle, as in real radiographs.
"""

import math

import numpy as np

from medseg.phantom.anatomy import Anatomy, Map, Mask, find_lung_border, ramp

SPONGY = 0.15
"""Volume fraction of bone in spongy bone; 0.1 to 0.2 in vertebrae."""


def build_skeleton(anatomy: Anatomy, x: Map, y: Map) -> tuple[Map, Mask]:
    """Return all bones along the ray, cm, and the clavicle mask of a human reader, which ends at the rib cage."""
    bone, mask = build_spine(anatomy, x, y), np.zeros(x.shape, dtype=bool)
    bone += build_ribs(anatomy, x, y)
    rows = find_rows(y, anatomy.apex_y - 70, anatomy.apex_y + 70)
    clavicles, mask[rows] = build_clavicles(anatomy, x[rows], y[rows])
    bone[rows] += clavicles
    rows = find_rows(y, anatomy.apex_y - 20, anatomy.apex_y + 170)
    bone[rows] += build_shoulders(anatomy, x[rows], y[rows])
    return bone, mask


def find_rows(y: Map, low: float, high: float) -> slice:
    """Return the rows between two values of y on the middle column, and 40 mm more on each side for tilted patients."""
    middle = y[:, y.shape[1] // 2]
    first, last = np.searchsorted(middle, [low - 40, high + 40])
    return slice(int(first), int(last))


def cross_tube(distance: Map, radius: Map | float, wall: float) -> Map:
    """Return the path through a round long bone at `distance` from its axis, as cm of cortical bone. Arguments: mm."""
    square = distance * distance
    outer = np.sqrt(np.maximum(radius * radius - square, 0))
    inner = np.sqrt(np.maximum((radius - wall) ** 2 - square, 0))
    chord: Map = 0.2 * (outer - (1 - SPONGY) * inner)
    return chord


def build_spine(anatomy: Anatomy, x: Map, y: Map) -> Map:
    """Build vertebral bodies with end plates and discs, pedicles and spinous processes."""
    phase = (y - anatomy.apex_y) / anatomy.vertebra_height
    v = np.abs(phase - np.floor(phase) - 0.5) * 2  # 0 in the middle of a body, 1 in the disc
    center = x - 0.5 * anatomy.twist
    half = 14.5 + 0.018 * (y - anatomy.apex_y) + 2 * v
    body = np.sqrt(np.clip(1 - (center / half) ** 2, 0, None)) * ramp(0.92 - v, 0.12)
    plate = np.exp(-(((v - 0.8) / 0.08) ** 2)) * (np.abs(center) < half)
    pedicles = np.hypot((np.abs(center) - 0.62 * half) / 3.5, (v - 0.25) * anatomy.vertebra_height / 12)
    process = np.hypot((x - anatomy.twist) / 3.5, (v - 0.45) * anatomy.vertebra_height / 12)
    spine: Map = (
        0.75 * body + 0.25 * plate + 0.3 * np.exp(-(((pedicles - 1) / 0.4) ** 2)) + 0.3 * ramp(1 - process, 0.4)
    )
    return spine


def build_ribs(anatomy: Anatomy, x: Map, y: Map) -> Map:
    """Build ten pairs of ribs. Each pair is a tilted hoop, seen as an ellipse: upper half behind, lower half in front.

    At the lateral chest wall the ray runs along the rib, so ribs are densest there.
    """
    bone = np.zeros_like(x)
    for rib in range(10):
        half_width = (anatomy.lung_half_width + 4) * (0.6, 0.8, 0.91, 0.97, 1.0, 1.02)[min(rib, 5)]
        half_height = anatomy.rib_drop / 2 * (0.55, 0.75, 0.9, 1.0)[min(rib, 3)]
        center = anatomy.apex_y - 6 + rib * anatomy.vertebra_height + half_height
        part = find_rows(y, center - half_height - 10, center + half_height + 30)
        across = np.abs(x[part])
        down = y[part] - center - anatomy.rib_slant * across
        slope = 2 * np.hypot(across / half_width**2, down / half_height**2)
        level = (across / half_width) ** 2 + (down / half_height) ** 2 - 1
        front = down > 0
        distance = level / np.maximum(slope, 1e-6)  # first order: Taubin, PAMI 13 (1991)
        chord = cross_tube(distance, anatomy.rib_radius * (1 + front * np.float32(0.15)), 1.1)
        along = 1 / np.sqrt(np.clip(1 - (across / half_width) ** 2, 0.2, None))
        cartilage = ramp(across - 0.42 * half_width - 3 * rib, 10)
        bone[part] += chord * along * np.where(front, np.float32(0.8) * cartilage, across > 14)
    return bone


def build_clavicles(anatomy: Anatomy, x: Map, y: Map) -> tuple[Map, Mask]:
    """Build both clavicles, and the mask of a human reader."""
    bone, mask = np.zeros_like(x), np.zeros(x.shape, dtype=bool)
    for side in (-1, 1):
        across = side * x
        start = 13 + side * anatomy.twist  # in a rotated patient one joint is nearer to the midline
        s = across - start
        axis = anatomy.apex_y + anatomy.clavicle_y - anatomy.clavicle_slope * s
        axis += anatomy.clavicle_bend * np.sin(2 * np.pi * np.clip(s / 150, 0, 1.2))
        radius = 5.8 + 3.2 * np.exp(-np.clip(s, 0, None) / 16)
        distance = (y - axis) / math.hypot(1, anatomy.clavicle_slope)
        bone += cross_tube(distance, radius, 1.3) * ramp(s, 4) * (s < 165) * 1.3
        u = (y - anatomy.apex_y) / anatomy.lung_height
        mask |= (np.abs(distance) < radius) & (s > 1) & (across < find_lung_border(anatomy, side, u) + 6)
    return bone, mask


def build_shoulders(anatomy: Anatomy, x: Map, y: Map) -> Map:
    """Build shoulder blades, more or less turned out of the lung fields, and heads and shafts of the upper arms."""
    bone = np.zeros_like(x)
    top = anatomy.apex_y
    for side in (-1, 1):
        across = side * x - anatomy.lung_half_width - anatomy.scapula_shift
        a = (0.97 * (across - 18) + 0.25 * (y - top - 85)) / 32
        b = (0.97 * (y - top - 85) - 0.25 * (across - 18)) / 72
        blade = 1 - np.hypot(a, b)
        bone += 0.18 * ramp(blade, 0.03) + 0.2 * np.exp(-(((blade - 0.04) / 0.05) ** 2))
        head = np.hypot(across - 42, y - top - 32)
        bone += 1.3 * cross_tube(head, 23, 1.5)
        shaft = (across - 46) - 0.25 * (y - top - 32)
        bone += cross_tube(shaft, 12, 3) * (y > top + 40) * (y < top + 190)
    return bone
