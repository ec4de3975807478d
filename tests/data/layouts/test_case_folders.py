import numpy as np
import pytest

from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.data.masks import read_mask_files
from medseg.errors import DataError, RadiographError
from tests.data.layouts.test_folders import message_of, write_pngs
from tests.support.data_layouts import draw_cases, read_masks, save, write_folders, write_set


def write_objects(root, name, image, masks):
    """Each mask as an object of one class, in two parts of which one overlaps the other."""
    save(root / name / "images" / f"{name}.png", image)
    for label, mask in masks.items():
        for part, rows in (("top", slice(0, 40)), ("bottom", slice(30, None))):
            shown = np.zeros_like(mask)
            shown[rows] = mask[rows]
            save(root / name / "masks" / f"{label}{part}.png", shown.astype(np.uint8) * 255)


def test_all_files_of_an_image_are_one_mask(tmp_path):
    def write_joined(root, name, image, masks):
        write_folders(root, name, image, {"chest": masks["heart"] | masks["lungs"]})

    expected = read_masks(write_set(tmp_path / "folders", write_joined))
    root = write_set(tmp_path / "objects", write_objects)
    found = read_masks(root)
    assert [*found] == [*expected]
    for name, masks in expected.items():
        assert found[name].tobytes() == masks.tobytes()
    assert find_cases(DataConfig(root=root)).classes == ("foreground",)
    assert find_cases(DataConfig(root=root, classes=("chest",))).classes == ("chest",)


def test_splits(tmp_path):
    for split in ("train", "val"):
        write_set(tmp_path / split, write_objects, 1 if split == "train" else 2)
        (tmp_path / split / "p0").rename(tmp_path / split / f"{split}0")
    cases = find_cases(DataConfig(root=tmp_path)).cases
    assert [(case.id, case.split) for case in cases] == [
        ("p1", "validation"),
        ("train0", "train"),
        ("val0", "validation"),
    ]


def test_several_classes_are_refused(tmp_path):
    write_set(tmp_path, write_objects, 1)
    assert message_of(tmp_path, classes=("a", "b")) == (
        f"{tmp_path}: has a folder for each image, whose masks are objects of one class, but data.classes has 2 "
        "classes. Set a single class, or use masks/<class>/<id>.*"
    )


def test_folders_without_an_image_or_a_mask_are_named(tmp_path):
    write_pngs(tmp_path, "a/images/a.png", "a/masks/1.png", "b/images/b.png", "c/masks/1.png")
    (tmp_path / "c" / "images").mkdir()
    message = message_of(tmp_path)
    assert "folders without an image (1):\n    c/images/" in message
    assert "images without a mask (1):\n    b.png" in message


def test_folders_of_several_images_are_no_cases(tmp_path):
    write_pngs(tmp_path, "a/images/1.png", "a/images/2.png", "a/masks/1.png")
    assert message_of(tmp_path).endswith("not a folder with images/ or dataset.json")


def test_parts_that_differ_in_size(tmp_path):
    image, masks = draw_cases(1)["p0"]
    write_objects(tmp_path, "p0", image, masks)
    save(tmp_path / "p0" / "masks" / "z.png", np.zeros((8, 8), np.uint8))
    (case,) = find_cases(DataConfig(root=tmp_path)).cases
    with pytest.raises(RadiographError, match=r"p0/masks/z\.png: 8 x 8 pixels, but heartbottom\.png has 64 x"):
        read_mask_files(case.masks, DataConfig(), [])
    with pytest.raises(DataError):
        find_cases(DataConfig(root=tmp_path, classes=("a", "b")))
