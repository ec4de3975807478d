import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from medseg.annotations import FORMATS, AnnotatedImage, read_annotations
from medseg.errors import DataError
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

SIZE = (20, 30)


def png(mask):
    file = BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def content(*shapes, **changes):
    entries = [{"label": "heart", "group_id": None, "flags": {}, **shape} for shape in shapes]
    stated = {"version": "5.4.1", "flags": {}, "shapes": entries, "imagePath": "..\\images\\a.png", "imageData": "AAAA"}
    return {**stated, "imageHeight": SIZE[0], "imageWidth": SIZE[1], **changes}


PART = np.array([[1, 0, 1], [1, 1, 1]], bool)
DISK = np.hypot(*(np.mgrid[:20, :30] + 0.5 - np.array([10, 12])[:, None, None])) < 5


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"points": [[2, 1], [6, 1], [6, 4], [2, 4]]}, box(1, 2, 4, 6, SIZE)),
        ({"shape_type": "rectangle", "points": [[6, 4], [2, 1]]}, box(1, 2, 4, 6, SIZE)),
        ({"shape_type": "circle", "points": [[12, 10], [12, 15]]}, DISK),
        (
            {"shape_type": "mask", "points": [[4.0, 2.0], [6.0, 3.0]], "mask": png(PART)},
            np.pad(PART, ((2, 16), (4, 23))),
        ),
        (
            {"shape_type": "mask", "points": [[4, 2], [6, 3]], "mask": png(PART.astype(np.uint8) * 255)},
            np.pad(PART, ((2, 16), (4, 23))),
        ),
    ],
)
def test_shapes(tmp_path, shape, expected):
    found = read_annotations(write_json(tmp_path / "a.json", content(shape)))
    assert (found.format, found.images[0].base, found.images[0].size) == ("labelme", "a.png", SIZE)
    np.testing.assert_array_equal(draw_only(found, SIZE)["heart"], expected)


@pytest.mark.parametrize(
    ("shape", "code", "reason"),
    [
        ({"shape_type": "point", "points": [[2, 1]]}, "no_area", "a point covers no area"),
        ({"shape_type": "linestrip", "points": [[2, 1], [6, 1], [6, 4]]}, "no_area", "a linestrip covers no area"),
        ({"points": [[2, 1], [6, 1]]}, "no_area", "2 different points"),
        ({"shape_type": "mask", "points": [[4, 2], [6, 3]], "mask": "!"}, "shape", "not a PNG in base64"),
        (
            {"shape_type": "mask", "points": [[4, 2], [9, 3]], "mask": png(PART)},
            "size",
            "2 x 3 pixels, but its box has 2 x 6",
        ),
        ({"shape_type": "mask", "points": [[0, 0], [1e6, 1e6]], "mask": png(PART)}, "size", "claims 1000001 x 1000001"),
    ],
)
def test_problems(tmp_path, shape, code, reason):
    ((image, label, found, text),) = list_reasons(write_json(tmp_path / "a.json", content(shape)))
    assert (image, label, found) == ("../images/a.png", "heart", code)
    assert reason in text


def test_no_size_is_no_problem(tmp_path):
    path = write_json(tmp_path / "a.json", content(imageHeight=None, imageWidth=None))
    assert read_annotations(path).images[0].size is None


@pytest.mark.parametrize("outlined", [True, False])
def test_what_is_written_is_read_back(tmp_path, outlined):
    images = make_images(outlined, MODEL)
    FORMATS["labelme"].write(tmp_path, images, LABELS)
    paths = [tmp_path / "Bild é 1.json", tmp_path / "empty.json"]
    found = read_annotations(*paths)
    assert (found.labels, found.problems) == (("heart", "left lung"), ())
    for image, original in zip(found.images, images, strict=True):
        assert (image.name, image.size, image.made_by) == (original.name, original.size, MODEL)
        assert_same_masks(image, original)
    edited = json.loads(paths[0].read_text())
    edited["shapes"][0]["label"] = "heart "
    edited["shapes"].pop()
    assert read_annotations(write_json(paths[0], edited)).images[0].made_by is None


def test_two_images_of_one_file(tmp_path):
    with pytest.raises(DataError, match=r"images a/1\.png and b/1\.jpg: both are 1 in this format"):
        FORMATS["labelme"].write(tmp_path, [AnnotatedImage("a/1.png", SIZE), AnnotatedImage("b/1.jpg", SIZE)], ())
