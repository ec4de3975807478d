"""Detection of near-identical images: fingerprints, and pairs of matching fingerprints."""

from collections.abc import Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from medseg.data.findings import Findings

# Measured on JSRT, Montgomery and 400 phantoms. Same image saved again (JPEG 85, half the size and JPEG 50, 0.7 of the
# size, another brightness, gamma 0.7 or 1.4): up to 4 of the 64 bits differ with a detail correlation of at least 0.87,
# or up to 12 bits with at least 0.96. Images of different patients: as few as 4 bits differ, since all chests look
# alike, but the correlation is at most 0.64. Between phantoms it reaches 0.86, with 8 different bits.
_ALIKE = 0.82
_BIT = 0.01
"""Reduction of the detail correlation per different bit, before the comparison with `_ALIKE`."""
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Features that identify an image, independent of its file format and size."""

    signs: NDArray[np.float32]
    """The 64 bits of a perceptual hash, as 1 and -1."""
    detail: NDArray[np.float16]
    """Fine detail at 128 x 128 as a vector of norm 1; all 0 if the image is flat."""


def take_fingerprint(image: NDArray[np.float32]) -> Fingerprint:
    """Return the fingerprint of an image `(rows, columns)` in [0, 1]."""
    return Fingerprint(_hash_picture(image), _detail(image))


def find_copies(fingerprints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Return the index pairs of near-identical images, smaller index first.

    The perceptual hash alone is weak, since all chests look alike; the correlation of the fine detail decides.
    """
    if not fingerprints:
        return []
    hashes = np.array([fingerprint.signs for fingerprint in fingerprints])
    details = np.array([fingerprint.detail for fingerprint in fingerprints])
    found = []
    for first in range(0, len(hashes), _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = details[rows].astype(np.float32)
        for second in range(first, len(hashes), _BLOCK):
            columns = slice(second, second + _BLOCK)
            differing = (hashes.shape[1] - hashes[rows] @ hashes[columns].T) / 2
            alike = block @ details[columns].astype(np.float32).T - _BIT * differing > _ALIKE
            found += [(first + i, second + j) for i, j in np.argwhere(alike).tolist() if first + i < second + j]
    return sorted(found)


def check_copies(
    names: Sequence[str], splits: Sequence[str], fingerprints: Sequence[Fingerprint], allowed: bool, findings: Findings
) -> None:
    """Note near-identical images within a split, and across splits, which is an error unless `allowed`."""
    for i, j in find_copies(fingerprints):
        pair = f"{names[i]} ({splits[i]}) and {names[j]} ({splits[j]})"
        code = "copies" if splits[i] == splits[j] else "copies_across_splits"
        for index in (i, j):
            findings.add(code, names[index], pair, severity="warning" if allowed else None)


def _hash_picture(image: NDArray[np.float32]) -> NDArray[np.float32]:
    bits = imagehash.phash(Image.fromarray(np.round(image * 255).astype(np.uint8))).hash
    return np.where(bits.ravel(), 1, -1).astype(np.float32)


def _detail(image: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return the difference of an image and its blurred version at 128 x 128, as a vector of norm 1 (0 if flat).

    Values are clipped at two standard deviations, so that markers and edges do not dominate: the product of two such
    vectors is the correlation of ribs and vessels.
    """
    picture = np.asarray(Image.fromarray(image.astype(np.float32)).resize((128, 128), Image.Resampling.BOX))
    detail = picture - ndimage.gaussian_filter(picture, sigma=3)
    limit = 2 * detail.std()
    detail = np.clip(detail - detail.mean(), -limit, limit).ravel()
    return np.asarray(detail / max(float(np.linalg.norm(detail)), 1e-6), np.float16)
