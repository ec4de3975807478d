"""Synthetic PA chest radiographs with masks, from a simple physical model. Synthetic, not clinical.

    anatomy -> path lengths -> Beer-Lambert + scatter -> blur -> Poisson -> logarithm -> 12 bits

A score on these images shows that a program works. It says nothing about patients.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from medseg.phantom.anatomy import Anatomy, Map, Mask, draw_anatomy
from medseg.phantom.organs import build_body, build_gas, build_lung, draw_vessels, find_heart_depth
from medseg.phantom.skeleton import build_skeleton
from medseg.phantom.view import View, draw_view, find_pixels, locate_in_patient, open_field, place_marker

VERSION = 1
"""Must increase when the same seed gives other files, also those of varied.py."""
CLASSES = ("clavicles", "heart", "lungs")
MAXIMUM = 4095
"""Greatest 12-bit value."""

# Linear attenuation at 60 keV, the effective energy of a 120 kVp chest beam behind its filters, cm^-1: mass attenuation
# (cm^2/g) times density (g/cm^3), ICRU-44 tissues, NIST Standard Reference Database 126, tables 3 and 4; lung inflated.
SOFT_TISSUE = 0.2048 * 1.06
LUNG = 0.2053 * 0.26
CORTICAL_BONE = 0.3148 * 1.92
LEAD = 5.021 * 11.35


@dataclass(frozen=True)
class Phantom:
    """A synthetic radiograph with its masks, view and anatomy."""

    pixels: NDArray[np.uint16]
    """`(rows, columns)`, 0 to 4095, bright is dense."""
    masks: dict[str, Mask]
    """`lungs`, `heart`, `clavicles` and perhaps more, each `(rows, columns)`; masks overlap."""
    view: View
    anatomy: Anatomy

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Detector pixel spacing `(row, column)` in mm."""
        return self.view.spacing_mm, self.view.spacing_mm


def draw_phantom(rng: np.random.Generator, size: int) -> Phantom:
    """Draw one radiograph with `size` rows. Synthetic, not clinical."""
    anatomy, view = draw_anatomy(rng), draw_view(rng, size)
    x, y = locate_in_patient(view)
    heart_depth = find_heart_depth(anatomy, x, y)
    heart_cm = 10.5 * anatomy.heart_scale * np.sqrt(np.clip(heart_depth / 38, 0, 1))
    sides = [build_lung(anatomy, side, x, y) for side in (-1, 1)]
    lung = np.maximum(sides[0][0] + sides[1][0] - heart_cm, 0)
    lung -= np.minimum(lung, paint_vessels(anatomy, view) + draw_texture(rng, lung))
    bone, clavicles = build_skeleton(anatomy, x, y)
    gas = build_gas(anatomy, x, y)
    soft = np.maximum(build_body(anatomy, x, y) - lung - gas - bone, 0)
    attenuation = SOFT_TISSUE * soft + LUNG * lung + CORTICAL_BONE * bone
    counts = count_quanta(rng, attenuation, LEAD * place_marker(view), view)
    masks = {
        # readers draw the borders of heart and lungs on top of each other; here the masks overlap slightly
        "lungs": keep_largest(sides[0][1] & (heart_depth < 2.5)) | keep_largest(sides[1][1] & (heart_depth < 2.5)),
        "heart": heart_depth > 0,
        "clavicles": clavicles,
    }
    return Phantom(digitise(counts, view), masks, view, anatomy)


def transmit(attenuation: Map) -> Map:
    """Return the share of unscattered quanta, exp(-attenuation); attenuation is the sum of mu * path (Beer-Lambert)."""
    share: Map = np.exp(-attenuation)
    return share


def count_quanta(rng: np.random.Generator, attenuation: Map, marker: Map, view: View) -> Map:
    """Count the quanta of each pixel: unscattered and scattered in the patient, blurred, Poisson distributed.

    `marker` is the attenuation of the lead letter, which lies on the detector and also stops scatter. The area under
    the collimator is blanked by the workstation, so its count is 0.
    """
    primary = transmit(attenuation)
    scatter = _smooth(primary * (attenuation > 0), 35 / view.spacing_mm, view.shape[0] // 40)
    total = primary + scatter * (view.scatter_fraction / (1 - view.scatter_fraction))
    total = ndimage.gaussian_filter(total * transmit(marker) * open_field(view), view.blur_pixels)
    counts: Map = rng.poisson(view.quanta * total).astype(np.float32)
    return counts


def digitise(counts: Map, view: View) -> NDArray[np.uint16]:
    """Convert counts to 12 bits of their logarithm, bright is dense: open beam 0, lead 4095, the patient in between.

    Detail finer than about 12 mm is enhanced like on workstations (unsharp masking).
    """
    density = math.log(view.quanta) - np.log(np.maximum(counts, 0.5))
    opened = open_field(view)
    inside = density[opened & (density > 0.7)]
    low, middle, high = (
        (float(value) for value in np.percentile(inside, [2, 50, 98])) if inside.size else (0.0, 2.5, 5.0)
    )
    base = _smooth(np.where(opened, np.clip(density, low, high), middle), 12 / view.spacing_mm, view.shape[0] // 100)
    density += opened * view.detail * (np.clip(density, low, high) - base)
    low, high = low - view.margins[0] * (high - low), high + view.margins[1] * (high - low)
    scaled = np.clip((density - low) / (high - low), 0, 1) ** view.gamma
    return np.round(scaled * MAXIMUM).astype(np.uint16)


def keep_largest(mask: Mask) -> Mask:
    """Return the largest connected part; this removes small pieces of lung between heart and diaphragm."""
    parts, count = ndimage.label(mask)
    largest: Mask = parts == np.bincount(parts.ravel())[1:].argmax() + 1 if count else mask
    return largest


def _smooth(picture: Map, sigma_pixels: float, step: int) -> Map:
    """Apply a wide Gaussian blur, computed on every `step`-th pixel; the result is smooth enough for that."""
    step = max(1, step)
    coarse = ndimage.uniform_filter(picture, step)[step // 2 :: step, step // 2 :: step]
    coarse = ndimage.gaussian_filter(coarse, sigma_pixels / step)
    zoom = np.divide(picture.shape, coarse.shape)
    smooth: Map = ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")
    return smooth


def paint_vessels(anatomy: Anatomy, view: View) -> Map:
    """Return the blood in the lung vessels along the ray, cm."""
    pieces = draw_vessels(anatomy)[::-1]  # thick vessels are drawn last, over thin vessels
    scale = 2  # twice the resolution keeps thin vessels thin
    starts = find_pixels(view, pieces[:, 0], pieces[:, 1])
    ends = find_pixels(view, pieces[:, 2], pieces[:, 3])
    picture = Image.new("F", (view.shape[1] * scale, view.shape[0] * scale))
    draw = ImageDraw.Draw(picture)
    lines = scale * np.stack([*starts, *ends], axis=1) + (scale - 1) / 2
    widths = np.maximum(np.round(pieces[:, 4] * scale / view.spacing_mm), 1).astype(int)
    for line, width, diameter in zip(lines.tolist(), widths.tolist(), pieces[:, 4].tolist(), strict=True):
        draw.line(line, fill=diameter / 10, width=width)
    fine = np.asarray(picture).reshape(view.shape[0], scale, view.shape[1], scale)
    blood: Map = ndimage.gaussian_filter(fine.mean(axis=(1, 3), dtype=np.float32), 0.6)
    return blood


def draw_texture(rng: np.random.Generator, lung: Map) -> Map:
    """Draw vessels too thin for single lines, as cm of blood: a few percent of the path in the lung."""
    noise = rng.standard_normal(lung.shape, dtype=np.float32)
    cloud = 2 * ndimage.gaussian_filter(noise, 1.2) + 4 * ndimage.gaussian_filter(noise, 4.0)
    blood: Map = lung * np.clip(0.03 + 0.03 * cloud, 0, None)
    return blood
