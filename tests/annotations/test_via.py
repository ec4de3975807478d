import json
import math

import numpy as np
import pytest

from medseg.annotations import FORMATS, read_annotations
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

POLYGON = {"name": "polygon", "all_points_x": [2, 6, 6, 2], "all_points_y": [1, 1, 4, 4]}
SQUARE = box(1, 2, 4, 6, (20, 30))


def version_2(shape, attributes, options=None, wrapped=True):
    regions = [{"shape_attributes": shape, "region_attributes": attributes}]
    metadata = {"a.png123": {"filename": "a.png", "size": 123, "regions": regions, "file_attributes": {}}}
    declared = {name: {"type": "radio", "options": listed} for name, listed in (options or {}).items()}
    return {"_via_img_metadata": metadata, "_via_attributes": {"region": declared, "file": {}}} if wrapped else metadata


def version_3(xy, av, options):
    return {
        "project": {"data_format_version": "3.1.1", "vid_list": ["1"]},
        "attribute": {"4": {"aname": "organ", "options": options}},
        "file": {"1": {"fid": 1, "fname": "a.png", "src": ""}},
        "view": {"1": {"fid_list": [1]}},
        "metadata": {
            "1_x": {"vid": "1", "flg": 0, "z": [], "xy": xy, "av": av},
            "1_y": {"vid": "1", "xy": [], "av": {}},
        },
    }


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (version_2(POLYGON, {"organ": "heart"}), ("heart",)),
        (version_2(POLYGON, {"organ": "heart"}, wrapped=False), ("heart",)),
        (
            version_2(POLYGON, {"organ": {"heart": True}}, {"organ": {"lung": "", "heart": "the heart"}}),
            ("lung", "heart"),
        ),
        (version_2(POLYGON, {"organ": "2"}, {"organ": {"1": "lung", "2": "heart"}}), ("lung", "heart")),
        (version_2(POLYGON, {"reader": "x", "class": "heart"}), ("heart",)),
        (version_3([7, 2, 1, 6, 1, 6, 4, 2, 4], {"4": "0"}, {"0": "heart", "1": "lung"}), ("heart", "lung")),
        (version_3([7, 2, 1, 6, 1, 6, 4, 2, 4], {"4": "heart"}, {}), ("heart",)),
        (version_3([2, 2, 1, 4, 3], {"4": "0"}, {"0": "heart"}), ("heart",)),
        (version_3([8, 2, 2, 4, 1, 6, 3, 3, 4], {"4": "0"}, {"0": "heart"}), ("heart",)),
    ],
)
def test_labels(tmp_path, content, labels):
    found = read_annotations(write_json(tmp_path / "a.json", content))
    assert (found.format, found.labels, found.images[0].name) == ("via", labels, "a.png")
    np.testing.assert_array_equal(draw_only(found, (20, 30))["heart"], SQUARE)


def test_regions_of_version_1_without_any_attribute(tmp_path):
    content = version_2(POLYGON, {}, wrapped=False)
    content["a.png123"]["regions"] = {"0": content["a.png123"]["regions"][0]}
    assert read_annotations(write_json(tmp_path / "a.json", content)).labels == ("foreground",)


def test_round_shapes(tmp_path):
    ellipse = {"name": "ellipse", "cx": 15, "cy": 10, "rx": 8, "ry": 2, "theta": math.pi / 4}
    mask = draw_only(read_annotations(write_json(tmp_path / "a.json", version_2(ellipse, {"a": "b"}))), (20, 30))["b"]
    assert mask[14, 19]
    assert not mask[5, 19]
    for content in (
        version_2({"name": "circle", "cx": 15, "cy": 10, "r": 6}, {"organ": "b"}),
        version_3([3, 15, 10, 6], {"4": "b"}, {}),
        version_3([4, 15, 10, 6, 6], {"4": "b"}, {}),
    ):
        mask = draw_only(read_annotations(write_json(tmp_path / "a.json", content)), (20, 30))["b"]
        assert mask.sum() == pytest.approx(math.pi * 36, abs=4)


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        (version_2({"name": "point", "cx": 1, "cy": 1}, {"organ": "b"}), "no_area", "a point covers no area"),
        (version_2({**POLYGON, "name": "polyline"}, {"organ": "b"}), "no_area", "an open line covers no area"),
        (version_2({**POLYGON, "all_points_x": [1]}, {"organ": "b"}), "shape", "not written as usual"),
        (version_2(POLYGON, {"organ": ""}), "label", "no label"),
        (version_3([1, 5, 5], {"4": "b"}, {}), "no_area", "a shape of kind 1 covers no area"),
        (version_3([7, 2, 1, 6, 1, 6, 4], {}, {"0": "b"}), "label", "no label"),
    ],
)
def test_problems(tmp_path, content, code, reason):
    ((image, _, found, text),) = list_reasons(write_json(tmp_path / "a.json", content))
    assert (image, found) == ("a.png", code)
    assert reason in text


@pytest.mark.parametrize("outlined", [True, False])
def test_what_is_written_is_read_back(tmp_path, outlined):
    images = make_images(outlined, MODEL)
    FORMATS["via"].write(tmp_path, images, LABELS)
    path = tmp_path / "via_project.json"
    found = read_annotations(path)
    assert (found.labels, found.problems) == (LABELS, ())
    for image, original in zip(found.images, images, strict=True):
        assert (image.name, image.made_by) == (original.name, MODEL)
        assert_same_masks(image, original)
    edited = json.loads(path.read_text())
    edited["_via_img_metadata"][edited["_via_image_id_list"][0]]["regions"][0]["shape_attributes"]["all_points_x"][
        0
    ] += 1
    assert [image.made_by for image in read_annotations(write_json(path, edited)).images] == [None, MODEL]
