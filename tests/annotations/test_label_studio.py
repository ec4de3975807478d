import math

import numpy as np
import pytest

from medseg.annotations import FORMATS, read_annotations
from tests.annotations.test_runs import BRUSH, BRUSHED
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

SIZE = (20, 40)


def result(value, kind="polygonlabels", label="heart", size=SIZE, **more):
    stated = {"original_height": size[0], "original_width": size[1], "image_rotation": 0, "from_name": "x", **more}
    return {"type": kind, "value": {**value, kind: [label]}, "id": "a1", **stated}


def task(*results, image="/data/upload/1/0a1b2c3d-img%201.png", **more):
    annotations = [{"result": list(results), "was_cancelled": False}]
    return {"id": 1, "data": {"image": image}, "annotations": annotations, "predictions": [], **more}


SQUARE = {"points": [[5, 10], [25, 10], [25, 50], [5, 50]]}
EXPECTED = box(2, 2, 10, 10, SIZE)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (result(SQUARE), EXPECTED),
        (result({"x": 5, "y": 10, "width": 20, "height": 40, "rotation": 0}, "rectanglelabels"), EXPECTED),
        (result({"x": 25, "y": 10, "width": 20, "height": 40, "rotation": 90}, "rectanglelabels"), None),
        (result({"format": "rle", "rle": BRUSH}, "brushlabels", size=(4, 6)), BRUSHED),
        (result(SQUARE, "labels"), EXPECTED),
    ],
)
def test_regions(tmp_path, drawn, expected):
    if expected is None:  # 8 x 8 pixels, turned around its left top corner at x 10, y 2
        expected = EXPECTED
    found = read_annotations(write_json(tmp_path / "a.json", [task(drawn)]))
    assert (found.format, found.labels, found.images[0].size) == ("label_studio", ("heart",), expected.shape)
    np.testing.assert_array_equal(draw_only(found, expected.shape)["heart"], expected)


def test_a_turned_ellipse(tmp_path):
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 45}  # 8 and 2 pixels
    mask = draw_only(read_annotations(write_json(tmp_path / "a.json", [task(result(value, "ellipselabels"))])), SIZE)
    assert mask["heart"][14, 24]
    assert not mask["heart"][5, 24]
    assert mask["heart"].sum() == pytest.approx(math.pi * 16, abs=4)


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("/data/upload/1/0a1b2c3d-img%201.png", "img 1.png"),
        ("/data/local-files/?d=x%5Cimg%201.png", "img 1.png"),
        ("s3://bucket/dir/img%201.png", "img 1.png"),
        ("https://host/img%201.png?token=1", "img 1.png"),
        (r"C:\data\img 1.png", "img 1.png"),
        ("img 1.png", "img 1.png"),
        ("100%25.png", "100%.png"),
    ],
)
def test_names_of_images(tmp_path, written, base):
    path = write_json(tmp_path / "a.json", [task(result(SQUARE), image=written)])
    assert read_annotations(path).images[0].base == base


def test_choices_and_regions_labeled_beside_them_are_no_shapes(tmp_path):
    choice = {"type": "choices", "value": {"choices": ["good"]}, "id": "c"}
    bare = {**result({}), "type": "polygon", "value": SQUARE}
    found = read_annotations(write_json(tmp_path / "a.json", [task(choice, bare, result(SQUARE, "labels"))]))
    assert (found.problems, len(found.images[0].shapes)) == ((), 1)


def test_the_annotation_that_counts(tmp_path):
    other = {"result": [], "was_cancelled": False}
    entry = task(result(SQUARE))
    entry["annotations"] += [{**other, "was_cancelled": True}]
    path = tmp_path / "a.json"
    assert len(read_annotations(write_json(path, [entry])).images[0].shapes) == 1
    entry["annotations"] += [other]
    assert [code for _, _, code, _ in list_reasons(write_json(path, [entry]))] == ["name"]
    entry["annotations"][0]["ground_truth"] = True
    found = read_annotations(write_json(path, [entry]))
    assert (found.problems, len(found.images[0].shapes)) == ((), 1)


@pytest.mark.parametrize(
    ("drawn", "code", "reason"),
    [
        (result({"points": [[5, 10], [25, 10]]}), "no_area", "2 different points"),
        (result({"x": 5, "y": 10, "width": 0.5}, "keypointlabels"), "no_area", "a point or a line covers no area"),
        (result({**SQUARE, "closed": False}), "no_area", "a point or a line"),
        (result({"format": "rle", "rle": BRUSH}, "brushlabels"), "size", "96 brush values, but 20 x 40"),
        (result({"format": "rle", "rle": [1]}, "brushlabels"), "size", "brush values"),
        (result({"imageDataURL": "data:"}, "bitmasklabels"), "shape", "a bitmask, which is not supported"),
        (result(SQUARE, size=(0, 0)), "size", "no original_width"),
        (result(SQUARE, image_rotation=90), "shape", "turned image"),
        ({**result({}), "type": "polygon", "value": SQUARE}, "label", "a region has no label"),
    ],
)
def test_problems(tmp_path, drawn, code, reason):
    ((image, _, found, text),) = list_reasons(write_json(tmp_path / "a.json", [task(drawn)]))
    assert (image, found) == ("/data/upload/1/img 1.png", code)
    assert reason in text


@pytest.mark.parametrize("outlined", [True, False])
@pytest.mark.parametrize("model", [MODEL, None])
def test_what_is_written_is_read_back(tmp_path, outlined, model):
    images = make_images(outlined, model)
    FORMATS["label_studio"].write(tmp_path, images, LABELS)
    found = read_annotations(tmp_path / "label_studio.json")
    assert (found.labels, found.problems) == (("heart", "left lung"), ())
    for image, original in zip(found.images, images, strict=True):
        assert (image.name, image.made_by) == (original.name, model)
        assert_same_masks(image, original)


def test_the_annotation_of_a_person_replaces_a_prediction(tmp_path):
    prediction = {"model_version": f"medseg {MODEL}", "result": [result(SQUARE)]}
    entry = {**task(), "annotations": [], "predictions": [prediction]}
    path = tmp_path / "a.json"
    assert read_annotations(write_json(path, [entry])).images[0].made_by == MODEL
    entry["predictions"][0]["model_version"] = "another model"
    assert read_annotations(write_json(path, [entry])).images[0].made_by is None
    entry["annotations"] = [{"result": []}]
    (image,) = read_annotations(write_json(path, [entry])).images
    assert (image.made_by, image.shapes) == (None, ())
