import pytest

from medseg.data.cases import find_cases, list_cases
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.errors import DataError
from tests.data.layouts.test_folders import message_of, write_pngs
from tests.support.data_layouts import assert_same_masks, save, write_set


def write_named(pattern, image="{}"):
    """Masks in files whose names hold the image and the class."""

    def write(root, name, pixels, masks):
        save(root / "images" / f"{image.format(name)}.png", pixels)
        for label, mask in masks.items():
            save(root / "masks" / pattern.format(id=name, label=label), mask)

    return write


@pytest.mark.parametrize(
    "pattern",
    [
        "{id}_{label}.png",
        "{id}-{label}.tif",
        "{id} {label}.png",
        "{id}.{label}.png",
        "{id} - {label}.png",
        "{label}_{id}.png",
        "{id}_{label}_mask.png",
        "{id}_mask-{label}.png",
        "{id}/{label}.png",
        "{id}/{id}_{label}.png",
        "{id}/{label}-mask.png",
        "{id}_mask/{label}.png",
    ],
)
def test_names_hold_image_and_class(tmp_path, pattern):
    assert_same_masks(write_set(tmp_path / "set", write_named(pattern)), tmp_path)


@pytest.mark.parametrize("pattern", ["{id}_{label}.png", "{id}/{label}.png"])
def test_images_may_have_an_affix_of_their_own(tmp_path, pattern):
    found = find_cases(DataConfig(root=write_set(tmp_path, write_named(pattern, "{}_image"))))
    assert [(case.id, sorted(case.masks)) for case in found.cases] == [
        (f"p{i}_image", ["heart", "lungs"]) for i in range(3)
    ]


def masks_of(root, **settings):
    """Image -> class -> name of its mask."""
    found = find_cases(DataConfig(root=root, **settings))
    return {case.id: {label: source.path.name for label, source in case.masks.items()} for case in found.cases}


def test_other_names_decide_what_fits_two_images(tmp_path):
    names = ["a_heart", "a_lungs", "a_b_heart", "a_b_lungs", "c_heart", "c_lungs"]
    write_pngs(tmp_path, *(f"images/{name}.png" for name in ("a", "a_b", "c")), *(f"masks/{n}.png" for n in names))
    expected = {i: {label: f"{i}_{label}.png" for label in ("heart", "lungs")} for i in ("a", "a_b", "c")}
    assert masks_of(tmp_path) == expected
    assert masks_of(tmp_path, classes=("lungs",)) == {i: {"lungs": f"{i}_lungs.png"} for i in expected}


def test_names_that_stay_unclear_are_one_error_that_names_the_files(tmp_path):
    write_pngs(tmp_path, "images/1.png", "images/2.png", *(f"masks/{a}_{b}.png" for a in "12" for b in "12"))
    message = message_of(tmp_path)
    assert "mask names that fit several images or classes (4):\n    1_1.png\n    1_2.png\n    2_1.png" in message
    assert "images without" not in message


@pytest.mark.parametrize("name", ["masks/{}_{}.png", "masks/{}/{}.png"])
def test_numbers_are_no_classes_unless_they_are_listed(tmp_path, name):
    write_pngs(tmp_path, "images/a.png", "images/b.png", *(name.format(image, i) for image in "ab" for i in "12"))
    message = message_of(tmp_path)
    assert "mask names with a number that may be a class, or one of several objects of a class (" in message
    assert "-> Use one name for each class in all masks" in message
    assert set(masks_of(tmp_path, classes=("1", "2"))["a"]) == {"1", "2"}


def test_names_that_no_other_image_has_are_no_classes(tmp_path):
    write_pngs(tmp_path, "images/a.png", "images/b.png", *(f"masks/{i}.png" for i in ("a/x7", "a/x8", "b/x9")))
    message = message_of(tmp_path)
    assert "mask names that differ for each image, so that they name no class (3):\n    x7.png\n    x8.png" in message
    assert "images without" not in message


def test_a_missing_class_is_named_and_may_be_allowed(tmp_path):
    write_pngs(tmp_path, "images/a.png", "images/b.png", *(f"masks/{i}.png" for i in ("a_x", "a_y", "b_x")))
    assert "images without the class y (1):\n    b.png" in message_of(tmp_path)
    assert masks_of(tmp_path, missing="ignore") == {"a": {"x": "a_x.png", "y": "a_y.png"}, "b": {"x": "b_x.png"}}


@pytest.mark.parametrize("stray", ["masks/notes.png", "masks/c_x.png"])
def test_a_mask_of_no_image_is_named(tmp_path, stray):
    write_pngs(tmp_path, "images/a.png", *(f"masks/{i}.png" for i in ("a_x", "a_y")), stray)
    assert f"masks without an image (1):\n    {stray[6:]}" in message_of(tmp_path)


def test_a_folder_of_no_image_is_named(tmp_path):
    write_pngs(tmp_path, "images/a.png", "images/b.png", *(f"masks/{i}.png" for i in ("a/x", "b/x", "c/x")))
    assert "masks without an image (1):\n    c/" in message_of(tmp_path)


def test_two_masks_of_one_class(tmp_path):
    write_pngs(tmp_path, "images/a.png", "masks/a_left lung.png", "masks/a_left_lung.png", "masks/a_x.png")
    assert "images with several masks of one class (1):\n    a_left lung.png, a_left_lung.png" in message_of(tmp_path)


def test_folders_and_files_that_are_both_named_as_images(tmp_path):
    write_pngs(tmp_path, "images/a.png", "images/b.png", "masks/a/a.png", "masks/b/b.png")
    assert "mask names that fit several images or classes (2):\n    a/a.png\n    b/b.png" in message_of(tmp_path)


@pytest.mark.parametrize("folder", ["{}", "class_{}"])
@pytest.mark.parametrize("mask", ["{}", "{}_mask"])
def test_numbered_classes_are_no_images(tmp_path, folder, mask):
    masks = [f"masks/{folder.format(label)}/{mask.format(image)}.png" for label in "12" for image in "123"]
    write_pngs(tmp_path, *(f"images/{image}.png" for image in "123"), *masks)
    labels = [folder.format(1), folder.format(2)]
    assert masks_of(tmp_path) == {image: dict.fromkeys(labels, f"{mask.format(image)}.png") for image in "123"}
    (tmp_path / masks[-1]).unlink()
    assert masks_of(tmp_path, missing="ignore")["3"] == {labels[0]: f"{mask.format(3)}.png"}


def test_a_mask_without_an_image_is_named_in_its_folder_of_a_class(tmp_path):
    masks = [f"masks/class_{label}/{image}.png" for label in "12" for image in "123"]
    write_pngs(tmp_path, *(f"images/{image}.png" for image in "123"), *masks, "masks/class_1/9.png")
    with pytest.raises(DataError, match=r"masks of class_1 without an image \(1\):\n    9.png"):
        masks_of(tmp_path)


def test_folders_of_listed_classes_hold_no_images(tmp_path):
    write_pngs(tmp_path, "images/1.png", "images/2.png", "masks/1/1_x.png", "masks/2/2_y.png")
    expected = {"1": {"1": "1_x.png"}, "2": {"2": "2_y.png"}}
    assert masks_of(tmp_path, classes=("1", "2"), missing="ignore") == expected


def test_folders_whose_masks_fit_as_classes_are_classes(tmp_path):
    write_pngs(tmp_path, *(f"{folder}/{i}.png" for i in "12" for folder in ("images", f"masks/{i}")))
    assert masks_of(tmp_path, missing="ignore") == {"1": {"1": "1.png"}, "2": {"2": "2.png"}}


def test_folders_of_classes_stay_folders_of_classes(tmp_path):
    write_pngs(tmp_path, "images/a.png", "images/b.png", *(f"masks/{i}.png" for i in ("a/a", "x/a", "a/b", "x/b")))
    assert set(masks_of(tmp_path)["a"]) == {"a", "x"}


def test_splits_have_masks_of_classes_too(tmp_path):
    for split in ("train", "test"):
        write_pngs(tmp_path / split, "images/a.png", "masks/a_x.png", "masks/a_y.png")
    assert masks_of(tmp_path).keys() == {"train_a", "test_a"}


def test_masks_of_other_classes_are_left_out(tmp_path):
    write_pngs(tmp_path, "images/a.png", "masks/a_x.png", "masks/a_y.png", "masks/a_z.png")
    assert masks_of(tmp_path, classes=("z", "x")) == {"a": {"z": "a_z.png", "x": "a_x.png"}}
    with pytest.raises(DataError, match=r"unknown classes; this data set has x, y, z \(1\):\n    w"):
        find_cases(DataConfig(root=tmp_path, classes=("w", "x")))


def test_unclear_names_are_findings_of_their_cases(tmp_path):
    write_pngs(tmp_path, "images/a.png", *(f"masks/a_{i}.png" for i in "123"))
    findings = Findings()
    list_cases(DataConfig(root=tmp_path), findings)
    assert findings.cases("mask_names") == {"a"}
