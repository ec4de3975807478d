import base64
import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from medseg.annotations import FORMATS, AnnotatedImage, outline
from medseg.data.cases import find_cases, list_cases
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.masks import read_mask_files
from medseg.data.transforms import apply_transforms, as_item, build_loading
from medseg.errors import DataError
from tests.support.annotation_files import LABELS, MASK, MODEL, OVERLAP, SIZE, make_images
from tests.support.data_layouts import CLASSES, assert_same_masks, draw_cases
from tests.support.data_layouts import write_set as write_phantoms

WRITTEN = [name for name, format in FORMATS.items() if format.dump]


def write_image(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint16).reshape(size).astype(np.uint8)).save(path)


def write_set(root, name, made_by=None):
    """The images of `make_images` in images/, and their annotations in one format."""
    drawn = make_images(outlined=name in ("via", "yolo"), made_by=made_by)
    for image in drawn:
        write_image(root / "images" / (image.base if name == "yolo" else image.name))
    FORMATS[name].write(root, drawn, LABELS)
    return root


def read(case):
    config = DataConfig()
    return {label: read.mask for label, read in read_mask_files(case.masks, config, []).items()}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_set_has_the_same_masks_in_every_format(tmp_path, name):
    found = find_cases(DataConfig(root=write_set(tmp_path, name), classes=("heart", "left_lung")))
    assert [case.id for case in found.cases] == ["Bild é 1", "empty"]
    masks, empty = map(read, found.cases)
    np.testing.assert_array_equal(masks["left_lung"], MASK)
    np.testing.assert_array_equal(masks["heart"], OVERLAP)
    assert not empty["heart"].any()
    assert not empty["left_lung"].any()
    assert empty["heart"].shape == SIZE


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_model_drew_is_known(tmp_path, name):
    findings = Findings()
    cases = list_cases(DataConfig(root=write_set(tmp_path, name, MODEL)), findings).cases
    assert cases[0].made_by == MODEL
    assert cases[0].id in findings.cases("made_by_model")
    assert any("a model drew" in warning for warning in findings.describe_warnings())


@pytest.mark.parametrize("name", ["coco", "cvat", "rle_csv"])
def test_the_file_itself_is_a_data_set_too(tmp_path, name):
    root = write_set(tmp_path, name)
    (path,) = (path for path in root.iterdir() if path.is_file())
    assert [case.id for case in find_cases(DataConfig(root=path)).cases] == ["Bild é 1", "empty"]


def test_classes_are_sorted_and_background_is_none(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    categories = [{"id": i, "name": name} for i, name in enumerate(["lungs", "Background", "heart"])]
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 24, "width": 30}], "categories": categories}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "x.json").write_text(json.dumps(content | {"annotations": []}))
    for root in (tmp_path, tmp_path / "annotations" / "x.json"):
        assert find_cases(DataConfig(root=root)).classes == ("heart", "lungs")


def coco(*names, label="lungs"):
    images = [{"id": i, "file_name": name, "height": 24, "width": 30} for i, name in enumerate(names)]
    corner = {"id": 1, "image_id": 0, "category_id": 1, "segmentation": [[0, 0, 5, 0, 5, 5]], "iscrowd": 0}
    return {"images": images, "categories": [{"id": 1, "name": label}], "annotations": [corner]}


def test_all_faults_are_named_at_once(tmp_path):
    for name in ("images/a.png", "images/1/b.png", "images/2/b.png"):
        write_image(tmp_path / name)
    content = coco("a.png", "there/b.png", "C:\\data\\gone.png", label="höhle")
    content["annotations"].append(content["annotations"][0] | {"id": 2, "segmentation": [[1, 1, 2, 2]]})
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        find_cases(DataConfig(root=tmp_path))
    for part in ("there/b.png: images/1/b.png, images/2/b.png", "gone.png", "image a.png: label höhle"):
        assert part in str(caught.value)


def test_faults_of_labels_that_are_not_asked_for_do_not_matter(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    content = coco("a.png")
    content["categories"].append({"id": 2, "name": "spine"})
    content["annotations"].append(content["annotations"][0] | {"category_id": 2, "segmentation": [[1, 1, 2, 2]]})
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="label spine"):
        find_cases(DataConfig(root=tmp_path))
    assert find_cases(DataConfig(root=tmp_path, classes=("lungs",))).classes == ("lungs",)


def test_images_that_nobody_annotated_are_left_out_and_named(tmp_path):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "images" / name)
    (tmp_path / "instances.json").write_text(json.dumps(coco("a.png")))
    findings = Findings(tmp_path)
    assert [case.id for case in list_cases(DataConfig(root=tmp_path), findings).cases] == ["a"]
    assert [(finding.code, dict(finding.reasons)) for finding in findings.listed()] == [
        ("not_annotated", {"b": "images/b.png"})
    ]


def test_file_names_give_splits_if_all_do(tmp_path):
    for split, names in {"train": "ab", "val": "cd"}.items():
        for name in names:
            write_image(tmp_path / "images" / f"{name}.png")
        (tmp_path / f"instances_{split}2017.json").write_text(json.dumps(coco(*(f"{name}.png" for name in names))))
    cases = find_cases(DataConfig(root=tmp_path)).cases
    assert [case.split for case in cases] == ["train", "train", "validation", "validation"]
    (tmp_path / "instances_val2017.json").rename(tmp_path / "more.json")
    assert {case.split for case in find_cases(DataConfig(root=tmp_path)).cases} == {None}


@pytest.mark.parametrize("folders", [("train", "val"), ("images/train", "images/val")])
def test_folders_give_splits_and_tell_images_of_one_name_apart(tmp_path, folders):
    for folder in folders:
        write_image(tmp_path / folder / "a.png")
        place = tmp_path / folder if folder in ("train", "val") else tmp_path / "annotations"
        place.mkdir(exist_ok=True)
        split = folder.rpartition("/")[2]
        (place / f"instances_{split}.json").write_text(json.dumps(coco("a.png", "b.png")))
        write_image(tmp_path / folder / "b.png")
    cases = find_cases(DataConfig(root=tmp_path)).cases
    assert sorted(case.split for case in cases) == ["train", "train", "validation", "validation"]
    assert all(case.image.parent.name == {"train": "train", "validation": "val"}[case.split] for case in cases)


def test_an_image_that_is_gone_is_not_replaced_by_another(tmp_path):
    for name in ("p1/other.png", "p2/cxr.png"):
        write_image(tmp_path / name)
    FORMATS["labelme"].write(tmp_path / "p1", [replace(make_images(True)[1], name="cxr.png")], LABELS)
    with pytest.raises(DataError, match=r"not there \(1\):\n +cxr\.png"):
        find_cases(DataConfig(root=tmp_path, classes=("heart",)))


def test_one_image_in_two_files_is_named(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    for name in ("instances", "keypoints"):
        (tmp_path / f"{name}.json").write_text(json.dumps(coco("a.png")))
    with pytest.raises(DataError, match=r"several annotation files; name one file as data\.root \(1\):\n +a\.png"):
        find_cases(DataConfig(root=tmp_path))


def test_images_without_any_shape_need_the_classes(tmp_path):
    write_image(tmp_path / "a.png")
    FORMATS["labelme"].write(tmp_path, [replace(make_images(True)[1], name="a.png")], ())
    with pytest.raises(DataError, match=r"the annotations have no labels\. Set data\.classes"):
        find_cases(DataConfig(root=tmp_path))
    (case,) = find_cases(DataConfig(root=tmp_path, classes=("heart", "lungs"))).cases
    assert {label: mask.any() for label, mask in read(case).items()} == {"heart": False, "lungs": False}


@pytest.mark.parametrize("stray", ["instances.json", "data.yaml"])
def test_label_maps_beside_a_stray_file_are_still_the_masks(tmp_path, stray):
    for name in ("images/a.png", "labels/a.png"):
        write_image(tmp_path / name)
    content = json.dumps(coco("a.png")) if stray.endswith("json") else "names: [a]\ntrain: images\n"
    (tmp_path / stray).write_text(content)
    assert find_cases(DataConfig(root=tmp_path)).cases[0].masks["foreground"].path == tmp_path / "labels" / "a.png"


def test_links_to_folders_are_followed_but_no_folder_is_listed_twice(tmp_path):
    root = write_set(tmp_path / "set", "coco")
    (root / "images" / "again").symlink_to(root)
    (root / "images" / "above").symlink_to(tmp_path)
    (root / "a copy").symlink_to(root / "images")
    assert len(find_cases(DataConfig(root=root)).cases) == 2
    (root / "images").rename(tmp_path / "elsewhere")
    (root / "images").symlink_to(tmp_path / "elsewhere")
    (root / "a copy").unlink()
    assert len(find_cases(DataConfig(root=root)).cases) == 2


def test_an_image_named_by_a_path_upwards_is_the_one_of_that_folder(tmp_path, caplog):
    write_image(tmp_path / "images" / "a.png")
    drawn = replace(make_images(True)[0], name="a.png")
    FORMATS["labelme"].write(tmp_path / "annotations", [drawn], LABELS)
    path = tmp_path / "annotations" / "a.json"
    path.write_text(path.read_text().replace('"a.png"', json.dumps("..\\images\\a.png")))
    findings = Findings(tmp_path)
    (case,) = list_cases(DataConfig(root=tmp_path), findings).cases
    assert (case.id, case.image, findings.listed()) == ("a", tmp_path / "images" / "a.png", [])
    FORMATS["labelme"].write(tmp_path / "images", [drawn], LABELS)
    with pytest.raises(DataError, match=r"several annotation files; name one file as data\.root"):
        find_cases(DataConfig(root=tmp_path))


def test_masks_beside_a_stray_file_are_still_the_masks(tmp_path):
    for name in ("images/a.png", "masks/a.png"):
        write_image(tmp_path / name)
    (tmp_path / "instances.json").write_text(json.dumps(coco("a.png")))
    assert find_cases(DataConfig(root=tmp_path)).cases[0].masks["foreground"].drawn is None


def test_a_damaged_file_among_others_is_named(tmp_path):
    write_set(tmp_path, "labelme")
    (tmp_path / "cut.json").write_text('{"version": "5')
    with pytest.raises(DataError, match=r"cut\.json: is not valid JSON"):
        find_cases(DataConfig(root=tmp_path))


@pytest.mark.parametrize(("size", "shape"), [((30, 24), (30, 24)), ((24, 30), (24, 30))])
def test_the_size_says_whether_shapes_were_drawn_on_the_turned_image(tmp_path, size, shape):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    (tmp_path / "images").mkdir()
    Image.fromarray(np.arange(720, dtype=np.uint16).reshape(24, 30).astype(np.uint8)).save(
        tmp_path / "images" / "a.jpg", exif=exif
    )
    content = coco("a.jpg")
    content["images"][0] |= {"height": size[0], "width": size[1]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    config = DataConfig(root=tmp_path)
    found = find_cases(config)
    loaded = apply_transforms(build_loading(config, found.classes), as_item(found.cases[0]))
    assert loaded["image"].shape == loaded["mask"].shape == (1, *shape)


def test_annotations_are_no_rgb_targets(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco("a.png")))
    with pytest.raises(DataError, match=r"data\.color=rgb needs RGB targets"):
        find_cases(DataConfig(root=path, color="rgb"))
    with pytest.raises(DataError, match="no folder targets/"):
        find_cases(DataConfig(root=tmp_path, color="rgb"))


def test_names_of_files_of_one_image_give_no_splits(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"test_{number}.png")
        image = replace(make_images(True)[0], name=f"test_{number}.png")
        FORMATS["labelme"].write(tmp_path, [image], LABELS)
    assert {case.split for case in find_cases(DataConfig(root=tmp_path)).cases} == {None}


def test_a_file_in_a_folder_of_masks_is_no_image(tmp_path):
    for name in ("data/a.png", "labels/a.png"):
        write_image(tmp_path / name)
    (tmp_path / "instances.json").write_text(json.dumps(coco("a.png")))
    (case,) = find_cases(DataConfig(root=tmp_path)).cases
    assert case.image == tmp_path / "data" / "a.png"


def test_a_manifest_with_columns_of_run_lengths_is_a_manifest(tmp_path):
    for name in ("a.png", "mask.png"):
        write_image(tmp_path / name)
    path = tmp_path / "cases.csv"
    path.write_text("image,mask,EncodedPixels\na.png,mask.png,1 2\n")
    (case,) = find_cases(DataConfig(root=path)).cases
    assert case.masks["foreground"].path == tmp_path / "mask.png"


def embed(path, pixels, **options):
    """Put an image into a LabelMe file."""
    Image.fromarray(pixels).save(file := BytesIO(), "PNG", **options)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"imageData": base64.b64encode(file.getvalue()).decode()}))


def write_labelme(root, name, image, masks):
    shapes = tuple(shape for label, mask in masks.items() for shape in outline(label, mask))
    FORMATS["labelme"].write(root, [AnnotatedImage(f"images/{name}.png", image.shape, shapes)], CLASSES)
    embed(root / f"{name}.json", image)


def test_images_inside_labelme_files_have_the_masks_of_folders(tmp_path):
    root = write_phantoms(tmp_path / "labelme", write_labelme)
    assert_same_masks(root, tmp_path)
    found = find_cases(DataConfig(root=root)).cases
    assert [case.image.name for case in found] == ["p0.json", "p1.json", "p2.json"]
    loaded = apply_transforms(build_loading(DataConfig(), CLASSES), as_item(found[1]))
    np.testing.assert_array_equal(loaded["image"][0], draw_cases()["p1"][0])


def test_a_file_comes_before_the_image_inside(tmp_path):
    root = write_phantoms(tmp_path, write_labelme, 2)
    write_image(root / "images" / "p0.png", (64, 64))
    assert [case.image.name for case in find_cases(DataConfig(root=root)).cases] == ["p0.png", "p1.json"]
    (root / "images").rename(root / "elsewhere")
    assert [case.image.name for case in find_cases(DataConfig(root=root)).cases] == ["p0.png", "p1.json"]


def test_an_image_inside_decides_between_files_of_one_name(tmp_path):
    root = write_phantoms(tmp_path, write_labelme, 1)
    for folder in ("x", "y"):
        write_image(root / folder / "p0.png", (64, 64))
    findings = Findings()
    (case,) = list_cases(DataConfig(root=root), findings).cases
    assert case.image.name == "p0.json"
    assert {finding.code for finding in findings.listed()} == {"not_annotated"}


def test_an_image_inside_that_is_turned(tmp_path):
    image, masks = draw_cases(1)["p0"]
    write_labelme(tmp_path, "p0", image, masks)
    exif = Image.Exif()
    exif[0x0112] = 6
    embed(tmp_path / "p0.json", np.rot90(image), exif=exif)
    (case,) = find_cases(DataConfig(root=tmp_path)).cases
    loaded = apply_transforms(build_loading(DataConfig(), CLASSES), as_item(case))
    np.testing.assert_array_equal(loaded["image"][0], image)
