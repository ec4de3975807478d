import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.annotations import FORMATS, draw_masks, find_annotations, read_annotations
from medseg.errors import DataError, RadiographError
from tests.support.annotation_files import LABELS, MODEL, SIZE, make_images, write_json
from tests.support.dicom_files import write_dicom

WRITTEN = sorted(name for name, format in FORMATS.items() if format.dump)
DAMAGES = [None, "", -1, 1e308, float("nan"), 10**30, "x", [], {}, [1], True, [[1, 2], [3, 4]], 2**31, {"a": 1}]


def write(name, folder):
    FORMATS[name].write(folder, make_images(True, MODEL), LABELS)
    return sorted(path for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize("name", WRITTEN)
def test_formats_are_recognized_by_their_content(tmp_path, name):
    for path in write(name, tmp_path):
        assert find_annotations([path]).format == name
        if name not in ("yolo", "rle_csv"):
            assert find_annotations([path.rename(path.with_suffix(".dat"))]).format == name


def test_other_files_are_not_recognized(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    write_dicom(tmp_path / "a.dcm")
    write_json(tmp_path / "dataset.json", {"labels": {"lung": 1}, "training": []})
    write_json(tmp_path / "list.json", [1, 2])
    write_json(tmp_path / "empty.json", [])
    (tmp_path / "manifest.csv").write_text("image,mask\na.png,b.png\n")
    (tmp_path / "recipe.yaml").write_text("data:\n  root: x\n")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "page.xml").write_text("<html/>")
    assert find_annotations(tmp_path.iterdir()) is None
    with pytest.raises(RadiographError, match=r"dataset\.json: is not an annotation file of a known format: COCO, .*"):
        read_annotations(tmp_path / "dataset.json")


def test_one_format_at_a_time(tmp_path):
    paths = [*write("coco", tmp_path / "a"), *write("cvat", tmp_path / "b")]
    with pytest.raises(
        DataError, match=r"of one format are needed, but .* COCO \(.*json\) and CVAT for images 1\.1 \(.*\.xml\)"
    ):
        read_annotations(*paths)


def test_several_files_of_one_format(tmp_path):
    FORMATS["coco"].write(tmp_path / "a", make_images(True)[:1], ("left lung", "heart"))
    FORMATS["coco"].write(tmp_path / "b", make_images(True)[1:], ("kidney",))
    found = read_annotations(tmp_path / "a" / "annotations.json", tmp_path / "b" / "annotations.json")
    assert (found.labels, len(found.images), found.problems) == (("left lung", "heart", "kidney"), 2, ())


def test_fractions_become_pixels_once_the_size_is_known(tmp_path):
    write("yolo", tmp_path / "a")
    images = [replace(image, size=SIZE) for image in read_annotations(tmp_path / "a" / "data.yaml").images]
    FORMATS["cvat"].write(tmp_path / "b", images, LABELS)
    found = read_annotations(tmp_path / "b" / "annotations.xml").images[0]
    for label, mask in draw_masks(make_images(True)[0], SIZE).items():
        np.testing.assert_array_equal(draw_masks(found, SIZE)[label], mask)


def test_one_name_in_two_folders_is_two_images(tmp_path):
    FORMATS["labelme"].write(tmp_path / "a", make_images(True), LABELS)
    FORMATS["labelme"].write(tmp_path / "b", make_images(True), LABELS)
    paths = [tmp_path / folder / "empty.json" for folder in ("a", "b")]
    found = read_annotations(*paths)
    assert (found.problems, [image.source for image in found.images]) == ((), paths)


def test_all_problems_at_once(tmp_path):
    images = [{"id": i, "file_name": name, "height": rows, "width": 9} for i, name, rows in IMAGES]
    content = {"images": images, "annotations": [], "categories": [{"id": i, "name": name} for i, name in CATEGORIES]}
    found = read_annotations(write_json(tmp_path / "a.json", content))
    assert sorted(str(problem).removeprefix(f"{tmp_path}/") for problem in found.problems) == [
        "a.json: an image has no name",
        "a.json: image a.png: is listed twice. Rename one, or annotate it once",
        "a.json: image c.png: claims 900000000 x 9 pixels; the limit is 100000000 pixels",
        "a.json: label Heart: becomes the class Heart, as the label heart does. Give both one name",
        "a.json: label heart/: becomes the class heart, as the label heart does. Give both one name",
        "a.json: label 心臓: cannot become a class name. Use up to 32 letters, digits, _ or -, and do not end in _ci95",
    ]


IMAGES = [(1, "a.png", 6), (2, "a.png", 6), (3, "", 6), (4, "c.png", 900_000_000)]
CATEGORIES = [(1, "heart"), (2, "Heart"), (3, "heart/"), (4, "心臓")]


def damage(content, chance):
    """Replace or delete one value somewhere inside."""
    part = content
    while True:
        key = chance.choice(list(part)) if isinstance(part, dict) else chance.randrange(len(part))
        if not isinstance(part[key], dict | list) or not part[key] or chance.random() < 0.2:
            break
        part = part[key]
    if chance.random() < 0.3:
        del part[key]
    else:
        part[key] = chance.choice(DAMAGES)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_damaged_file_is_a_problem_or_an_error(tmp_path, name):
    path = write(name, tmp_path)[0]
    original = path.read_bytes()
    for seed in range(40):
        chance = random.Random(seed)
        if path.suffix == ".json":
            content = json.loads(original)
            damage(content, chance)
            path.write_text(json.dumps(content))
        else:
            data = bytearray(original)
            for _ in range(4):
                data[chance.randrange(len(data))] = chance.choice(b'0-.,;"<>=nax \n')
            path.write_bytes(data)
        draw_all(path)


def draw_all(path: Path) -> None:
    with suppress(DataError):
        for image in read_annotations(path).images:
            draw_masks(image, SIZE)
