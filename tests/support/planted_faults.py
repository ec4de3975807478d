"""Data sets in which nothing is wrong, and faults to plant in them, one kind at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread

from medseg.phantom.chest import CLASSES, draw_phantom

NUM_CASES = 24
Plant = Callable[[Path], Sequence[str]]


def write_chests(root: Path) -> Path:
    """Phantoms as square 8-bit PNG: `images/chest00.png` and `masks/<class>/chest00.png`."""
    for index in range(NUM_CASES):
        phantom = draw_phantom(np.random.default_rng([41, index]), 160)
        write_picture(root / "images" / f"chest{index:02d}.png", shrink((phantom.pixels >> 4).astype(np.uint8)))
        for label, mask in phantom.masks.items():
            write_picture(root / "masks" / label / f"chest{index:02d}.png", (shrink(mask * np.uint8(255)) > 127) * 255)
    return root


def shrink(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((144, 144), Image.Resampling.BOX))


def write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels, np.uint8)).save(path)


def read_picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(*numbers: int) -> list[str]:
    return [f"chest{number:02d}" for number in numbers]


def change_images(change: Callable[[np.ndarray], np.ndarray], *numbers: int) -> Plant:
    """`change` the images of some cases."""

    def plant(root: Path) -> Sequence[str]:
        for name in names(*numbers):
            path = root / "images" / f"{name}.png"
            write_picture(path, change(read_picture(path)))
        return names(*numbers)

    return plant


def change_masks(change: Callable[[np.ndarray], np.ndarray], *numbers: int, classes: Sequence[str] = CLASSES) -> Plant:
    """`change` the masks of some cases."""

    def plant(root: Path) -> Sequence[str]:
        for name in names(*numbers):
            for label in classes:
                path = root / "masks" / label / f"{name}.png"
                write_picture(path, change(read_picture(path)))
        return names(*numbers)

    return plant


def both(first: Plant, second: Plant) -> Plant:
    """Two changes of the same cases."""

    def plant(root: Path) -> Sequence[str]:
        return sorted({*first(root), *second(root)})

    return plant


def remove_masks(*numbers: int, classes: Sequence[str] = CLASSES) -> Plant:
    def plant(root: Path) -> Sequence[str]:
        for name in names(*numbers):
            for label in classes:
                (root / "masks" / label / f"{name}.png").unlink()
        return names(*numbers)

    return plant


def write_bytes(path: str, content: bytes, *cases: str) -> Plant:
    """A file with such content; the cases it spoils."""

    def plant(root: Path) -> Sequence[str]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        return cases

    return plant


def copy_image(source: int, target: int) -> Plant:
    """The same picture under two names."""

    def plant(root: Path) -> Sequence[str]:
        first, second = names(source, target)
        (root / "images" / f"{second}.png").write_bytes((root / "images" / f"{first}.png").read_bytes())
        return [first, second]

    return plant


def exchange_masks(first: int, second: int) -> Plant:
    """Each of two cases has the other's masks."""

    def plant(root: Path) -> Sequence[str]:
        for label in CLASSES:
            one, other = (root / "masks" / label / f"{name}.png" for name in names(first, second))
            content = one.read_bytes()
            one.write_bytes(other.read_bytes())
            other.write_bytes(content)
        return names(first, second)

    return plant


def write_manifest(root: Path, splits: Sequence[str], patients: Sequence[str] = (), images: Sequence[str] = ()) -> Path:
    """A manifest of the first cases beside images/ and masks/."""
    lines = ["image,mask_heart,mask_lungs,split,patient"]
    for index, split in enumerate(splits):
        name = f"chest{index:02d}"
        image = images[index] if images else f"images/{name}.png"
        patient = patients[index] if patients else name
        lines.append(f"{image},masks/heart/{name}.png,masks/lungs/{name}.png,{split},{patient}")
    path = root / "cases.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def change_dicom(number: int, **tags: object) -> Plant:
    """Set tags of a phantom's DICOM file; None takes a tag away."""

    def plant(root: Path) -> Sequence[str]:
        path = root / "images" / f"phantom-{number:04d}.dcm"
        dataset = dcmread(path)
        for keyword, value in tags.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(path)
        return [path.stem]

    return plant
