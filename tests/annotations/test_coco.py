import json
from copy import deepcopy

import numpy as np
import pytest

from medseg.annotations import FORMATS, draw_masks, read_annotations
from tests.annotations.test_runs import COCO, SMALL
from tests.support.annotation_files import (
    LABELS,
    MODEL,
    assert_same_masks,
    box,
    draw_only,
    list_reasons,
    make_images,
    write_json,
)

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]
CONTENT = {
    "images": [{"id": 7, "file_name": r"C:\data\img 1.png", "width": 9, "height": 6}],
    "categories": [{"id": 3, "name": "heart"}, {"id": 1, "name": "lung "}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "segmentation": [SQUARE, [2, 2, 5, 2, 5, 5, 2, 5]], "iscrowd": 0},
        {"image_id": 7, "category_id": 1, "segmentation": {"size": [6, 9], "counts": COCO}, "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "segmentation": {"size": [6, 9], "counts": [0, 1, 53]}, "iscrowd": 1},
    ],
}


def with_annotation(**changes):
    content = deepcopy(CONTENT)
    content["annotations"] = [{"image_id": 7, "category_id": 3, "segmentation": [SQUARE], **changes}]
    return content


def test_polygons_and_run_lengths(tmp_path):
    found = read_annotations(write_json(tmp_path / "a.json", CONTENT))
    assert (found.format, found.labels, found.images[0].base) == ("coco", ("heart", "lung"), "img 1.png")
    masks = draw_only(found, (6, 9))
    # several polygons are united, not a hole in each other
    np.testing.assert_array_equal(masks["heart"], box(1, 1, 3, 3, (6, 9)) | box(2, 2, 5, 5, (6, 9)))
    np.testing.assert_array_equal(masks["lung"], SMALL | box(0, 0, 1, 1, (6, 9)))


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"segmentation": []}, "no_area", "only a box or points"),
        ({"segmentation": [[1, 1, 2, 2]]}, "no_area", "2 different points"),
        ({"segmentation": [[1, 1, 2, float("nan"), 5, 5]]}, "shape", "not a number"),
        ({"segmentation": {"size": [6, 9], "counts": [3]}}, "size", "run lengths of 3 pixels in all"),
        ({"segmentation": {"size": [9, 6], "counts": [54]}}, "size", "a mask of 9 x 6 pixels, but its image has 6 x 9"),
        ({"segmentation": [[1, 2, 3]]}, "shape", "is not written as usual"),
        ({"category_id": 9}, "label", "category 9 is not among"),
        ({"image_id": 9}, "name", "is of no image"),
    ],
)
def test_problems(tmp_path, changes, code, reason):
    ((image, _, found, text),) = list_reasons(write_json(tmp_path / "a.json", with_annotation(**changes)))
    assert (image, found) == ("" if code == "name" else "C:/data/img 1.png", code)
    assert reason in text


@pytest.mark.parametrize("outlined", [True, False])
def test_what_is_written_is_read_back(tmp_path, outlined):
    images = make_images(outlined, MODEL)
    FORMATS["coco"].write(tmp_path, images, LABELS)
    found = read_annotations(tmp_path / "annotations.json")
    assert (found.labels, found.problems) == (LABELS, ())
    for image, original in zip(found.images, images, strict=True):
        assert (image.name, image.size, image.made_by) == (original.name, original.size, MODEL)
        assert_same_masks(image, original)
    area = sum(entry["area"] for entry in json.loads((tmp_path / "annotations.json").read_text())["annotations"])
    assert area == pytest.approx(sum(mask.sum() for mask in draw_masks(images[0], images[0].size).values()), rel=0.2)


def test_a_mark_in_the_attributes_of_annotations_is_enough(tmp_path):
    """CVAT keeps these, but not what it does not know of an image."""
    FORMATS["coco"].write(tmp_path, make_images(False, MODEL), LABELS)
    content = json.loads((tmp_path / "annotations.json").read_text())
    del content["images"][0]["made_by"]
    assert read_annotations(write_json(tmp_path / "b.json", content)).images[0].made_by == MODEL
    del content["annotations"][0]
    assert read_annotations(write_json(tmp_path / "b.json", content)).images[0].made_by is None
