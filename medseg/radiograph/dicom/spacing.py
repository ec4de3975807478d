"""Pixel spacing of a DICOM file, and the plane in which it is valid (PS3.3 10.7)."""

import math

from pydicom.dataset import Dataset

from medseg.radiograph.dicom.header import numbers, text

Spacing = tuple[float, float]


def read_spacing(dataset: Dataset, warnings: list[str]) -> tuple[Spacing | None, str]:
    """Return `(row, column)` in mm and the source: `calibrated`, `magnification`, `detector`, `unspecified`, `film`.

    The first of these sources with two positive numbers is used; a source with other values gives a warning. Without
    any source the result is None and `none`. PixelSpacing is calibrated if it differs from ImagerPixelSpacing, or if
    the file has PixelSpacingCalibrationType (10.7.1.3).
    """
    pixel = _pair(dataset, "PixelSpacing", warnings)
    imager = _pair(dataset, "ImagerPixelSpacing", warnings)
    if pixel and (text(dataset, "PixelSpacingCalibrationType") or (imager and not _equal(pixel, imager))):
        return pixel, "calibrated"
    if imager:
        factor = _magnification(dataset, warnings)
        return ((imager[0] / factor, imager[1] / factor), "magnification") if factor else (imager, "detector")
    if pixel:
        return pixel, "unspecified"
    film = _pair(dataset, "NominalScannedPixelSpacing", warnings)
    if film:
        return film, "film"
    warnings.append("no pixel spacing; lengths and areas are unknown")
    return None, "none"


def is_length(value: float) -> bool:
    """Return whether `value` can be a distance in mm: positive and finite."""
    return math.isfinite(value) and value > 0


def _pair(dataset: Dataset, keyword: str, warnings: list[str]) -> Spacing | None:
    values = numbers(dataset, keyword)
    if not values:
        return None
    if len(values) != 2 or not all(map(is_length, values)):
        warnings.append(f"{keyword} was ignored, because it must be two positive numbers")
        return None
    return values[0], values[1]


def _magnification(dataset: Dataset, warnings: list[str]) -> float | None:
    keyword = "EstimatedRadiographicMagnificationFactor"
    values = numbers(dataset, keyword)
    if not values:
        return None
    if len(values) != 1 or not is_length(values[0]):
        warnings.append(f"{keyword} was ignored, because it must be one positive number")
        return None
    return values[0]


def _equal(left: Spacing, right: Spacing) -> bool:
    """Return whether two spacings are equal except for the rounding of decimal strings."""
    return all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(left, right, strict=True))
