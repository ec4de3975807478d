"""Data sets of NumPy files."""

import numpy as np
import pytest

from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.data.masks import read_mask_files
from medseg.errors import DataError, RadiographError
from tests.data.layouts.test_folders import message_of
from tests.support.data_layouts import CLASSES, assert_same_masks, draw_cases, save, write_set


def save_array(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def write_class_folders(root, name, image, masks):
    save_array(root / "images" / f"{name}.npy", image)
    for label, mask in masks.items():
        save_array(root / "masks" / label / f"{name}.npy", mask)


def write_channels(axis):
    def write(root, name, image, masks):
        save_array(root / "images" / f"{name}.npy", image[None])
        stacked = np.stack([masks[label] for label in CLASSES], axis=axis)
        save_array(root / "masks" / f"{name}.npy", stacked.astype(np.float32))

    return write


def write_archive(folder, by_class=True):
    def write(root, name, image, masks):
        (root / folder).mkdir(parents=True, exist_ok=True)
        stacked = np.stack([masks[label] for label in CLASSES])
        arrays = {f"mask_{label}": mask for label, mask in masks.items()} if by_class else {"mask": stacked}
        np.savez_compressed(root / folder / f"{name}.npz", image=image, **arrays)

    return write


@pytest.mark.parametrize("axis", [0, 2])
def test_channels_are_the_classes_in_their_order(tmp_path, axis):
    root = write_set(tmp_path / "arrays", write_channels(axis))
    assert_same_masks(root, tmp_path, classes=CLASSES)
    found = find_cases(DataConfig(root=root, classes=CLASSES[::-1])).cases[0]
    swapped = read_mask_files(found.masks, DataConfig(), [])
    np.testing.assert_array_equal(swapped["lungs"].mask, draw_cases(1)["p0"][1]["heart"])


def test_arrays_in_folders_of_classes(tmp_path):
    assert_same_masks(write_set(tmp_path / "arrays", write_class_folders), tmp_path)


@pytest.mark.parametrize("folder", ["", "images"])
def test_archives_that_hold_image_and_masks(tmp_path, folder):
    root = write_set(tmp_path / "arrays", write_archive(folder))
    assert_same_masks(root, tmp_path)
    assert [case.id for case in find_cases(DataConfig(root=root)).cases] == ["p0", "p1", "p2"]


def test_archives_in_splits_with_channels(tmp_path):
    for split in ("train", "test"):
        write_set(tmp_path / split, write_archive("", by_class=False), 1)
    cases = find_cases(DataConfig(root=tmp_path, classes=CLASSES)).cases
    assert {case.id: case.split for case in cases} == {"train_p0": "train", "test_p0": "test"}


def test_archives_of_masks_beside_images_and_in_manifests(tmp_path):
    root = write_set(tmp_path / "set", write_archive("masks"))
    for name, (image, _) in draw_cases().items():
        save(root / "images" / f"{name}.png", image)
    assert_same_masks(root, tmp_path)
    lines = [f"masks/p{i}.npz,masks/p{i}.npz" for i in range(3)]
    (root / "cases.csv").write_text("\n".join(["image,mask", *lines]))
    assert_same_masks(root / "cases.csv", tmp_path)


def test_label_maps_and_colors(tmp_path):
    def write_map(root, name, image, masks):
        save_array(root / "images" / f"{name}.npy", image)
        values = masks["heart"] + 2 * masks["lungs"].astype(np.int64)
        save_array(root / "masks" / f"{name}.npy", values)

    def write_colors(root, name, image, masks):
        save_array(root / "images" / f"{name}.npy", image)
        red = np.stack([masks["heart"], masks["lungs"], masks["lungs"]], axis=2) * np.uint8(255)
        save_array(root / "masks" / f"{name}.npy", red)

    root = write_set(tmp_path / "maps", write_map)
    assert_same_masks(root, tmp_path / "1", label_values={"heart": [1, 3], "lungs": [2, 3]})

    def write_class_colors(root, name, image, masks):
        save_array(root / "images" / f"{name}.npy", image)
        for label, mask in masks.items():
            green = np.stack([mask * 0, mask, mask * 0], axis=2) * np.uint8(255)
            save_array(root / "masks" / label / f"{name}.npy", green)

    root = write_set(tmp_path / "classes", write_class_colors)
    assert_same_masks(root, tmp_path / "3", colors=dict.fromkeys(CLASSES, "#00ff00"))
    root = write_set(tmp_path / "colors", write_colors)
    colors = {"heart": ["#ff0000", "#ffffff"], "lungs": ["#00ffff", "#ffffff"]}
    assert_same_masks(root, tmp_path / "2", colors=colors)


@pytest.mark.parametrize(
    ("classes", "stated"), [(None, "not set"), (("lungs",), "lungs"), (("a", "b", "c"), "a, b, c")]
)
def test_channels_without_their_classes_are_an_error(tmp_path, classes, stated):
    message = message_of(write_set(tmp_path, write_channels(0)), classes=classes)
    assert (
        f"masks whose channels are not the classes (3):\n    p0.npy: 2 channels, but data.classes is {stated}"
        in message
    )
    assert "-> List the classes in data.classes, in the order of the channels." in message


@pytest.mark.parametrize("folder", ["", "masks/heart"])
def test_no_value_of_masks_by_class_can_be_ignored(tmp_path, folder):
    root = write_set(tmp_path, write_archive(folder), 1)
    if folder:
        save(root / "images" / "p0.png", draw_cases(1)["p0"][0])
    assert message_of(root, ignore_value=255).startswith(
        f"{root / folder / 'p0.npz'}: has a mask for each class, in which no value can be ignored (data.ignore_value, "
    )


def test_an_archive_without_masks_is_an_image_without_a_mask(tmp_path):
    root = write_set(tmp_path, write_archive(""), 2)
    np.savez(root / "p1.npz", image=np.arange(64.0).reshape(8, 8))
    assert "images without a mask (1):\n    p1.npz" in message_of(root)
    np.savez(root / "p0.npz", image=np.arange(64.0).reshape(8, 8))
    with pytest.raises(DataError, match=r"not a folder with images/ or dataset\.json"):
        find_cases(DataConfig(root=root))


def test_names_of_arrays_are_compared_with_the_classes(tmp_path):
    root = write_set(tmp_path, write_archive(""), 1)
    message = message_of(root, classes=("heart", "liver"))
    assert "p0.npz: segments heart, lungs, but classes heart, liver" in message


def test_a_damaged_mask_is_named_when_it_is_read(tmp_path):
    root = write_set(tmp_path, write_class_folders, 1)
    path = root / "masks" / "heart" / "p0.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RadiographError, match=r"masks/heart/p0\.npy: is cut short"):
        read_mask_files(find_cases(DataConfig(root=root)).cases[0].masks, DataConfig(), [])
