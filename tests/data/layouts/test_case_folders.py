import numpy as np
import pytest

from medseg.checks.levels import check_levels
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.masks import read_mask_files
from medseg.errors import DataError, RadiographError
from tests.data.layouts.test_folders import message_of, write_pngs
from tests.support.data_layouts import draw_cases, read_masks, save, write_folders, write_set
from tests.support.slicer_files import name_segments, write_slicer

LEFT, RIGHT = (np.kron([[left, 0, right]], np.ones((9, 3))) > 0 for left, right in ((1, 0), (0, 1)))
"""Two objects, with background between them."""


def write_objects(root, name, image, masks):
    """Each mask as an object of one class, in two parts of which one overlaps the other."""
    save(root / name / "images" / f"{name}.png", image)
    for label, mask in masks.items():
        for part, rows in (("top", slice(0, 40)), ("bottom", slice(30, None))):
            shown = np.zeros_like(mask)
            shown[rows] = mask[rows]
            save(root / name / "masks" / f"{name}{label}{part}.png", shown.astype(np.uint8) * 255)


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
    cases = find_cases(DataConfig(root=tmp_path, classes=("one",))).cases
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


def test_names_that_recur_may_be_classes(tmp_path):
    names = ["a/images/a.png", "b/images/b.png", *(f"{i}/masks/{name}.png" for i in "ab" for name in ("heart", i))]
    write_pngs(tmp_path, *names)
    assert message_of(tmp_path) == (
        f"{tmp_path}: has a folder for each image, and several folders have masks of the same name: heart. If the "
        "names are classes, use images/<id>.* with masks/<id>/<class>.*. If all masks are objects of one class, name "
        "it: data.classes=[one]"
    )
    assert find_cases(DataConfig(root=tmp_path, classes=("one",))).classes == ("one",)


@pytest.mark.parametrize(
    "settings", [{"label_values": {"cell": [255]}}, {"colors": {"cell": "#ffffff", "background": "#00ff00"}}]
)
def test_other_settings_name_the_class(tmp_path, settings):
    write_set(tmp_path, write_objects, 1)
    assert find_cases(DataConfig.model_validate({"root": tmp_path, **settings})).classes == ("cell",)


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
    with pytest.raises(RadiographError, match=r"p0/masks/z\.png: 8 x 8 pixels, but p0heartbottom\.png has 64 x"):
        read_mask_files(case.masks, DataConfig(), [])
    with pytest.raises(DataError):
        find_cases(DataConfig(root=tmp_path, classes=("a", "b")))


def read_united(root, **settings):
    """What was read of the image `a` with the mask files in `a/masks/`; the levels must have a clear meaning."""
    save(root / "a" / "images" / "a.png", np.arange(81, dtype=np.uint8).reshape(9, 9))
    config, findings = DataConfig.model_validate({"root": root, **settings}), Findings()
    found = find_cases(config)
    (read,) = read_mask_files(found.cases[0].masks, config, []).values()
    check_levels([("a", found.classes[0], levels) for levels in read.levels], found.classes, findings)
    findings.check()
    return read


@pytest.mark.parametrize("name", ["0.png", "z.png"])
def test_segments_and_png_masks_are_united(tmp_path, name):
    save(tmp_path / "a/masks" / name, LEFT * np.uint8(255))
    write_slicer(tmp_path / "a/masks/b.seg.nrrd", np.ones((2, 3)), name_segments("x"), origin=(3, 5, 0))
    np.savez(tmp_path / "a/masks/c.npz", mask_foreground=RIGHT)
    expected = LEFT | RIGHT
    expected[5:7] = True
    np.testing.assert_array_equal(read_united(tmp_path).mask, expected)


def test_a_listed_background_hides_no_object(tmp_path):
    for name, shown in {"1": LEFT, "2": RIGHT}.items():
        save(
            tmp_path / "a/masks" / f"{name}.png", np.where(shown[..., None], (255, 0, 0), (0, 255, 0)).astype(np.uint8)
        )
    colors = {"cell": "#ff0000", "background": "#00ff00"}
    np.testing.assert_array_equal(read_united(tmp_path, colors=colors).mask, LEFT | RIGHT)
    with pytest.raises(DataError, match=r"colors that data\.colors does not list[^#]*#00ff00 \(108 pixels"):
        read_united(tmp_path, colors={"cell": "#ff0000"})


def test_ignored_pixels_of_every_file_are_kept(tmp_path):
    for name, values in {"1": 9 * LEFT + 200 * RIGHT, "2": 200 * LEFT, "3": 200 * ~(LEFT | RIGHT)}.items():
        save(tmp_path / "a/masks" / f"{name}.png", values.astype(np.uint8))
    read = read_united(tmp_path, ignore_value=9)
    np.testing.assert_array_equal(read.ignored, LEFT)
    np.testing.assert_array_equal(read.mask, ~LEFT)
