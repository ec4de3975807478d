"""Masks with everything that is hard to draw, and files of annotations as tools write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from medseg.annotations import AnnotatedImage, Annotations, Shape, draw_masks, outline, read_annotations
from medseg.annotations.runs import encode

SIZE = (24, 30)
MASK = np.zeros(SIZE, np.bool_)
"""A part with a hole with an island, a part at the border, parts that touch at corners, and a single pixel."""
MASK[2:14, 3:15] = True
MASK[5:11, 6:12] = False
MASK[7:9, 8:10] = True
MASK[10:24, 25:30] = True
MASK[16:18, 4:6] = MASK[18:20, 6:8] = MASK[21, 15] = True
OVERLAP = np.zeros(SIZE, np.bool_)
"""A triangle over the first part of `MASK`."""
for _row in range(3, 20):
    OVERLAP[_row, 10 : 10 + _row // 2] = True
LABELS = ("left lung", "heart", "unused")
MODEL = "0f3c9a"


def make_images(outlined: bool, made_by: str | None = None) -> list[AnnotatedImage]:
    """One image with both masks, as outlines or runs, and one without shapes."""
    masks = {"left lung": MASK, "heart": OVERLAP}
    shapes = [
        shape
        for label, mask in masks.items()
        for shape in (outline(label, mask) if outlined else (Shape(label, runs=encode(mask)),))
    ]
    drawn = AnnotatedImage("dir/Bild é 1.png", SIZE, tuple(shapes), made_by=made_by)
    return [drawn, AnnotatedImage("empty.png", SIZE, made_by=made_by)]


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def draw_only(annotations: Annotations, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Masks of the one image in a file without problems."""
    assert [str(problem) for problem in annotations.problems] == []
    (image,) = annotations.images
    return draw_masks(image, size)


def assert_same_masks(image: AnnotatedImage, original: AnnotatedImage) -> None:
    """Both images show the same masks at the size of `original`."""
    assert original.size is not None
    drawn = draw_masks(image, original.size)
    for label, mask in draw_masks(original, original.size).items():
        np.testing.assert_array_equal(drawn[label], mask)


def list_reasons(path: Path) -> list[tuple[str, str, str, str]]:
    """Image, label, code and reason of all problems of a file."""
    found = read_annotations(path).problems
    return [(problem.image, problem.label, problem.code, problem.reason) for problem in found]


def box(top: int, left: int, bottom: int, right: int, size: tuple[int, int]) -> np.ndarray:
    """A mask of one rectangle; the last row and column are outside."""
    mask = np.zeros(size, np.bool_)
    mask[top:bottom, left:right] = True
    return mask
