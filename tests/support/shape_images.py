"""A small made-up data set with known shapes."""

from pathlib import Path

import numpy as np
from PIL import Image


def draw_case(index: int, rows: int = 48, columns: int = 40) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A noisy picture with a bright disc and a darker box that overlaps it, placed by `index`."""
    rng = np.random.default_rng([7, index])
    y, x = np.mgrid[:rows, :columns]
    top, left = rng.integers(14, 30), rng.integers(12, 26)
    disc = (y - top) ** 2 + (x - left) ** 2 < 81
    box = (abs(y - top - 6) < 7) & (abs(x - left - 4) < 6)
    noise = np.kron(rng.normal(0, 22, (rows // 4, columns // 4)), np.ones((4, 4)))
    picture = 90 + noise + 70 * disc - 50 * box + rng.normal(0, 4, (rows, columns))
    return picture.clip(1, 254).astype(np.uint8), {"box": box, "disc": disc}


def write_png_folder(root: Path, num_cases: int) -> Path:
    for index in range(num_cases):
        picture, masks = draw_case(index)
        (root / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / "images" / f"case{index:02d}.png")
        for name, mask in masks.items():
            (root / "masks" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / name / f"case{index:02d}.png")
    return root
