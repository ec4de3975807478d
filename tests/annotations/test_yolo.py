import numpy as np
import pytest
import yaml
from PIL import Image

from medseg.annotations import FORMATS, AnnotatedImage, draw_masks, read_annotations
from medseg.errors import DataError
from tests.support.annotation_files import LABELS, MODEL, SIZE, assert_same_masks, box, list_reasons, make_images


def write(root, labels, described=None, split="train"):
    for name, text in labels.items():
        path = root / "labels" / split / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        image = root / "images" / split / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 40), np.uint8)).save(image)
    content = described or {"path": "/content/datasets/x", "train": "images/train", "names": ["lung", "heart"]}
    (root / "data.yaml").write_text(yaml.safe_dump(content))
    return root / "data.yaml"


SQUARE = "1 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6"


@pytest.mark.parametrize("names", [["lung", "heart"], {0: "lung", 1: "heart"}])
def test_polygons_and_boxes(tmp_path, names):
    text = f"{SQUARE}\r\n\r\n0 0.5 0.5 0.2 0.4\r\n"
    path = write(tmp_path, {"a": text, "b": ""}, {"train": "images/train", "names": names})
    found = read_annotations(path)
    assert (found.format, found.labels, found.problems) == ("yolo", ("lung", "heart"), ())
    assert [(image.name, image.split, len(image.shapes)) for image in found.images] == [
        ("images/train/a.png", "train", 2),
        ("images/train/b.png", "train", 0),
    ]
    masks = draw_masks(found.images[0], (20, 40))
    np.testing.assert_array_equal(masks["heart"], box(2, 4, 12, 20, (20, 40)))
    np.testing.assert_array_equal(masks["lung"], box(6, 16, 14, 24, (20, 40)))


def test_hidden_files_are_no_images(tmp_path):
    path = write(tmp_path, {"a": SQUARE})
    for name in ("images/train/._a.png", "labels/train/._a.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert [image.name for image in read_annotations(path).images] == ["images/train/a.png"]


def test_an_image_without_label_file_is_background(tmp_path):
    path = write(tmp_path, {"a": SQUARE})
    (tmp_path / "labels" / "train" / "a.txt").unlink()
    assert [(image.name, image.shapes) for image in read_annotations(path).images] == [("images/train/a.png", ())]


@pytest.mark.parametrize(
    "train", ["../images/train", "./images/train", ["images/train"], "images\\train", "/x/y/images/train"]
)
def test_folders_are_found_beside_the_file(tmp_path, train):
    path = write(tmp_path, {"a": SQUARE}, {"path": "D:\\data", "train": train, "val": "", "names": ["a", "b"]})
    assert [image.name for image in read_annotations(path).images] == ["images/train/a.png"]


def test_splits(tmp_path):
    described = {"train": "images/train", "val": "images/val", "names": ["lung", "heart"]}
    write(tmp_path, {"a": SQUARE}, described)
    found = read_annotations(write(tmp_path, {"b": SQUARE}, described, "val"))
    assert [(image.name, image.split) for image in found.images] == [
        ("images/train/a.png", "train"),
        ("images/val/b.png", "validation"),
    ]
    described["val"] = "images/train"
    (image,) = read_annotations(write(tmp_path, {"a": SQUARE}, described)).images
    assert image.split is None  # one folder for both says nothing


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("2 0.1 0.1 0.5 0.1 0.5 0.6", "label", "line 1 of a.txt: no such class in data.yaml"),
        ("x 0.1 0.1 0.5 0.1 0.5 0.6", "label", "no such class"),
        ("1 0.1 0.1 0.5 0.1 0.5", "shape", "line 1 has 5 coordinates"),
        ("1", "no_area", "0 different points"),
        ("1 0.1 nan 0.5 0.1 0.5 0.6", "shape", "not a number"),
        ("1 0.1 0,1 0.5 0.1 0.5 0.6", "shape", "not written as usual"),
        ("1 0.1 0.1 0.5 0.1 0.9 0.1", "no_area", "on one line"),
    ],
)
def test_problems(tmp_path, text, code, reason):
    ((image, _, found, told),) = list_reasons(write(tmp_path, {"a": text}))
    assert (image, found) == ("images/train/a.png", code)
    assert reason in told


def test_a_missing_folder(tmp_path):
    path = write(tmp_path, {}, {"train": "images/tain", "names": ["lung"]})
    assert list_reasons(path) == [("", "", "file", "the folder images/tain is missing. Correct it in this file")]


@pytest.mark.parametrize("outlined", [True, False])
@pytest.mark.parametrize("with_images", [True, False])
def test_what_is_written_is_read_back(tmp_path, outlined, with_images):
    images = make_images(outlined, MODEL)
    FORMATS["yolo"].write(tmp_path, images, LABELS)
    for image in images if with_images else ():
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "images" / image.base)
    found = read_annotations(tmp_path / "data.yaml")
    assert (found.labels, found.problems) == (LABELS, ())
    for image, original in zip(found.images, images, strict=True):
        assert image.name == f"images/{original.base if with_images else original.stem}"
        assert image.made_by == MODEL
        assert_same_masks(image, original)
    path = tmp_path / "labels" / "Bild é 1.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    assert [image.made_by for image in read_annotations(tmp_path / "data.yaml").images] == [None, MODEL]


def test_ids_with_dots_and_two_images_of_one_file(tmp_path):
    FORMATS["yolo"].write(tmp_path, [AnnotatedImage("1.2.840.1", SIZE), AnnotatedImage("1.2.840.2.dcm", SIZE)], ())
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["1.2.840.1.txt", "1.2.840.2.txt"]
    with pytest.raises(DataError, match=r"images a/1\.png and b/1\.jpg: both are 1 in this format"):
        FORMATS["yolo"].write(tmp_path, [AnnotatedImage("a/1.png", SIZE), AnnotatedImage("b/1.jpg", SIZE)], ())
