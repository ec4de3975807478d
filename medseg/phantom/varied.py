"""Synthetic chests that vary more than real ones, with more structures, for start weights. Synthetic, not clinical.

Networks that have seen enough randomized phantoms take real radiographs as one more variation (domain randomization;
SyntheX, PMC10959504, shows it for images made from CT).
"""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from medseg.phantom.anatomy import Anatomy, Map, draw_anatomy
from medseg.phantom.chest import (
    CORTICAL_BONE,
    LEAD,
    LUNG,
    SOFT_TISSUE,
    Phantom,
    count_quanta,
    digitise,
    draw_texture,
    keep_largest,
    paint_vessels,
)
from medseg.phantom.organs import build_body, build_gas, build_lung, find_heart_depth
from medseg.phantom.skeleton import build_clavicles, build_ribs, build_shoulders, build_spine, find_rows
from medseg.phantom.view import View, draw_view, find_pixels, locate_in_patient, place_marker

CLASSES = (
    "body",
    "clavicles",
    "gas",
    "heart",
    "left_lung",
    "lungs",
    "ribs",
    "right_lung",
    "shoulders",
    "spine",
)
_REACH = 150
"""Devices and opacities lie within this distance of the center, mm."""


def draw_varied_phantom(rng: np.random.Generator, size: int) -> Phantom:
    """Draw one radiograph with `size` rows and masks of `CLASSES`. Synthetic, not clinical."""
    anatomy, view = _vary_anatomy(rng, draw_anatomy(rng)), _vary_view(rng, draw_view(rng, size))
    x, y = locate_in_patient(view)
    heart_depth = find_heart_depth(anatomy, x, y)
    heart_cm = 10.5 * anatomy.heart_scale * np.sqrt(np.clip(heart_depth / 38, 0, 1))
    sides = [build_lung(anatomy, side, x, y) for side in (-1, 1)]
    lung = np.maximum(sides[0][0] + sides[1][0] - heart_cm, 0)
    blood = paint_vessels(anatomy, view) * rng.uniform(0.5, 1.6) + draw_texture(rng, lung) * rng.uniform(0.5, 3)
    lung -= np.minimum(lung, blood)
    lung *= _draw_opacities(rng, x, y)
    spine, ribs = build_spine(anatomy, x, y), build_ribs(anatomy, x, y)
    bone = spine * rng.uniform(0.6, 1.4) + ribs * rng.uniform(0.5, 1.5)
    clavicles, shoulders = np.zeros(x.shape, dtype=bool), np.zeros_like(bone)
    rows = find_rows(y, anatomy.apex_y - 70, anatomy.apex_y + 70)
    thickness, clavicles[rows] = build_clavicles(anatomy, x[rows], y[rows])
    bone[rows] += thickness * rng.uniform(0.7, 1.3)
    rows = find_rows(y, anatomy.apex_y - 20, anatomy.apex_y + 170)
    shoulders[rows] = build_shoulders(anatomy, x[rows], y[rows])
    bone += shoulders * rng.uniform(0.5, 1.5)
    gas, body = build_gas(anatomy, x, y), build_body(anatomy, x, y)
    soft = np.maximum(body - lung - gas - bone, 0)
    attenuation = SOFT_TISSUE * soft + LUNG * lung + CORTICAL_BONE * bone + _draw_devices(rng, view, x, y)
    counts = count_quanta(rng, attenuation, LEAD * place_marker(view), view)
    right, left = (keep_largest(inside & (heart_depth < 2.5)) for _, inside in sides)
    masks = {
        "body": body > 1,
        "clavicles": clavicles,
        "gas": gas > 0.5,
        "heart": heart_depth > 0,
        "left_lung": left,
        "lungs": right | left,
        "ribs": ribs > 0.25,
        "right_lung": right,
        "shoulders": shoulders > 0.1,
        "spine": spine > 0.3,
    }
    return Phantom(digitise(counts, view), masks, view, anatomy)


def _vary_anatomy(rng: np.random.Generator, anatomy: Anatomy) -> Anatomy:
    """Draw sizes and positions again, from ranges that reach beyond those of real adults."""
    height = rng.uniform(200, 300)
    return replace(
        anatomy,
        lung_height=height,
        lung_half_width=rng.uniform(108, 150),
        side_scale=rng.uniform(-0.06, 0.08),
        diaphragm_difference=rng.uniform(-5, 25),
        dome=rng.uniform(15, 70),
        heart_scale=rng.uniform(0.75, 1.45),
        heart_height=rng.uniform(90, 145),
        heart_shift=rng.uniform(-12, 16),
        knob=rng.uniform(0, 18),
        mediastinum=rng.uniform(-6, 14),
        chest_depth_cm=rng.uniform(16, 30),
        lung_depth_cm=rng.uniform(10, 18),
        body_margin=rng.uniform(8, 50),
        breast_cm=rng.uniform(1, 7) if rng.random() < 0.5 else 0.0,
        breast_y=rng.uniform(30, 100),
        rib_slant=rng.uniform(0, 0.35),
        rib_drop=rng.uniform(60, 120),
        rib_radius=rng.uniform(3.5, 7),
        vertebra_height=height / rng.uniform(9.5, 13),
        clavicle_y=rng.uniform(10, 60),
        clavicle_slope=rng.uniform(-0.15, 0.5),
        clavicle_bend=rng.uniform(-2, 12),
        scapula_shift=rng.uniform(-25, 30),
        twist=rng.uniform(-14, 14),
    )


def _vary_view(rng: np.random.Generator, view: View) -> View:
    """Draw pose, collimation and exposure again, from wider ranges."""
    closed = rng.uniform(0, 0.15, 4) * (rng.random(4) < 0.2)
    return replace(
        view,
        spacing_mm=round(rng.uniform(300, 420) / view.shape[0], 4),
        turn_degrees=rng.normal(0, 3),
        shift_mm=(rng.normal(0, 10), rng.normal(-2, 12)),
        bend_mm=rng.normal(0, 6),
        field=(closed[0], 1 - closed[1], closed[2], 1 - closed[3]),
        marker_mm=rng.uniform(8, 35),
        scatter_fraction=rng.uniform(0.1, 0.6),
        quanta=10 ** rng.uniform(3.5, 5.5),
        blur_pixels=rng.uniform(0.4, 1.2),
        detail=rng.uniform(0, 1.5),
        gamma=float(np.exp(rng.uniform(-0.5, 0.5))),
        margins=(rng.uniform(-0.05, 0.3), rng.uniform(-0.08, 0.15)),
    )


def _draw_opacities(rng: np.random.Generator, x: Map, y: Map) -> Map:
    """Return the share of air that up to three nodules or shadows leave in the lung, `(rows, columns)`."""
    air = np.ones_like(x)
    for _ in range(rng.integers(0, 4)):
        across, down = rng.uniform(-_REACH, _REACH, 2)
        width = rng.uniform(5, 60)
        height = width * rng.uniform(0.5, 1.5)
        air *= 1 - rng.uniform(0.1, 0.8) * np.exp(-(((x - across) / width) ** 2 + ((y - down) / height) ** 2))
    return air


def _draw_devices(rng: np.random.Generator, view: View, x: Map, y: Map) -> Map:
    """Return the attenuation of lines and boxes in every second patient: up to three of them."""
    devices = np.zeros_like(x)
    for _ in range(rng.integers(0, 4) if rng.random() < 0.5 else 0):
        if rng.random() < 0.7:
            devices += rng.uniform(0.02, 0.3) * _draw_line(rng, view)
            continue
        (across, down), half = rng.uniform(-_REACH, _REACH, 2), rng.uniform(4, 25)
        box = np.maximum(np.abs(x - across), np.abs(y - down) * rng.uniform(0.5, 2)) < half
        devices += rng.uniform(0.1, 1) * box
    return devices


def _draw_line(rng: np.random.Generator, view: View) -> Map:
    """Return a catheter or a wire, 1 inside: a cubic Bezier curve."""
    t = np.linspace(0, 1, 200)[:, None]
    a, b, c, d = rng.uniform(-_REACH, _REACH, (4, 2))
    curve = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    columns, rows = find_pixels(view, curve[:, 0], curve[:, 1])
    canvas = Image.new("F", (view.shape[1], view.shape[0]))
    width = max(1, round(rng.uniform(0.8, 3) / view.spacing_mm))
    ImageDraw.Draw(canvas).line(list(zip(columns.tolist(), rows.tolist(), strict=True)), fill=1.0, width=width)
    drawn: Map = np.asarray(canvas)
    return drawn
