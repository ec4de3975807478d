"""The same small phantoms in many layouts of files; the masks of lungs and heart overlap."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.data.masks import read_mask_files, stack_masks
from medseg.phantom.chest import draw_phantom

CLASSES = ("heart", "lungs")
Masks = Mapping[str, np.ndarray]
"""Class -> mask `(rows, columns)`."""
Write = Callable[[Path, str, np.ndarray, Masks], object]
"""Writes the case of a name: its image, 8 bits, and its masks."""


def draw_cases(number: int = 3, rows: int = 64) -> dict[str, tuple[np.ndarray, Masks]]:
    """Phantoms by name."""
    found = {}
    for index in range(number):
        phantom = draw_phantom(np.random.default_rng([7, index]), rows)
        masks = {label: phantom.masks[label].astype(bool) for label in CLASSES}
        found[f"p{index}"] = (phantom.pixels >> 4).astype(np.uint8), masks
    return found


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_set(root: Path, write: Write, number: int = 3) -> Path:
    for name, (image, masks) in draw_cases(number).items():
        write(root, name, image, masks)
    return root


def write_folders(root: Path, name: str, image: np.ndarray, masks: Masks) -> None:
    save(root / "images" / f"{name}.png", image)
    for label, mask in masks.items():
        save(root / "masks" / label / f"{name}.png", mask.astype(np.uint8) * 255)


def read_masks(root: Path, **settings: object) -> dict[str, np.ndarray]:
    """The masks `(class, rows, columns)` of each case, by name."""
    config = DataConfig.model_validate({"root": root, **settings})
    found = find_cases(config)
    return {case.id: stack_masks(read_mask_files(case.masks, config, []), found.classes) for case in found.cases}


def assert_same_masks(root: Path, tmp_path: Path, number: int = 3, **settings: object) -> None:
    """Assert that a data set has the masks of the same phantoms in folders."""
    expected = read_masks(write_set(tmp_path / "folders", write_folders, number))
    found = read_masks(root, **settings)
    assert found.keys() == expected.keys()
    for name, masks in expected.items():
        assert found[name].tobytes() == masks.tobytes()
