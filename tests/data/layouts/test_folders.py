import unicodedata

import numpy as np
import pytest
from PIL import Image

from medseg.data.case import MaskSource
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.errors import DataError


def write_pngs(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(root / name, "png")
    return root


def find(root, **settings):
    return find_cases(DataConfig(root=root, **settings))


def message_of(root, **settings):
    with pytest.raises(DataError) as caught:
        find(root, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("images", "masks"),
    [("image", "mask"), ("Images", "Masks"), ("IMAGES", "labels"), ("images", "Label"), ("Image", "masks")],
)
def test_names_of_the_folders(tmp_path, images, masks):
    (case,) = find(write_pngs(tmp_path, f"{images}/a.png", f"{masks}/a.png")).cases
    assert case.masks == {"foreground": MaskSource(tmp_path / masks / "a.png")}
    assert case.split is None


def test_target_folder_in_any_case(tmp_path):
    found = find(write_pngs(tmp_path, "Image/a.png", "Target/a.png"), color="rgb")
    assert found.cases[0].target == tmp_path / "Target" / "a.png"


@pytest.mark.parametrize(
    "folders", [("Images", "images"), ("image", "images"), ("Masks", "masks"), ("mask", "masks"), ("Label", "labels")]
)
def test_two_folders_of_one_meaning(tmp_path, folders):
    kinds = {"images", "labels" if "labels" in folders else "masks"}
    write_pngs(tmp_path, *(f"{folder}/a.png" for folder in kinds | set(folders)))
    named = " and ".join(f"{folder}/" for folder in sorted(folders))
    assert message_of(tmp_path) == f"{tmp_path}: contains {named}, which have the same meaning. Keep one of them."


def test_masks_come_before_labels(tmp_path):
    write_pngs(tmp_path, "images/a.png", "masks/a.png", "labels/b.png")
    assert find(tmp_path).cases[0].masks["foreground"].path == tmp_path / "masks" / "a.png"


SPLITS = [("train", "val", "test"), ("Training", "Validation", "Testing"), ("TRAIN", "valid", "Test")]


@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize("place", ["{split}/{kind}", "{kind}/{split}"])
def test_split_given_by_folders(tmp_path, splits, place):
    for number, split in enumerate(splits):
        images, masks = (place.format(split=split, kind=kind) for kind in ("Images", "masks"))
        write_pngs(tmp_path, f"{images}/{number}.png", f"{masks}/lungs/{number}_mask.png")
    found = find(tmp_path)
    assert [(case.id, case.split) for case in found.cases] == [("0", "train"), ("1", "validation"), ("2", "test")]
    assert found.classes == ("lungs",)
    assert all(case.masks["lungs"].path.is_file() for case in found.cases)


@pytest.mark.parametrize(
    "names", [("train/images/1.png", "train/masks/1.png"), ("images/train/1.png", "masks/train/1.png")]
)
def test_single_folder_of_a_split_gives_none(tmp_path, names):
    assert [case.split for case in find(write_pngs(tmp_path, *names)).cases] == [None]


def test_equal_names_in_several_splits_are_other_cases(tmp_path):
    for split in ("train", "val", "test"):
        write_pngs(tmp_path, f"{split}/images/1.png", f"{split}/masks/1.png")
    cases = find(tmp_path).cases
    assert [case.id for case in cases] == ["test_1", "train_1", "validation_1"]
    assert len({case.patient for case in cases}) == 3


def test_class_that_a_split_lacks(tmp_path):
    write_pngs(tmp_path, "train/images/1.png", "train/masks/heart/1.png", "train/masks/lungs/1.png")
    write_pngs(tmp_path, "test/images/2.png", "test/masks/lungs/2.png")
    assert "images without the class heart (1):\n    2.png" in message_of(tmp_path)
    found = find(tmp_path, classes=("lungs", "heart"), missing="ignore")
    assert [set(case.masks) for case in found.cases] == [{"lungs", "heart"}, {"lungs"}]


def test_problems_of_split_folders(tmp_path):
    write_pngs(tmp_path, "train/images/1.png", "train/masks/1.png", "val/images/2.png")
    assert message_of(tmp_path) == f"{tmp_path}/val: no folder masks/ beside images/"
    write_pngs(tmp_path, "val/masks/2.png", "Valid/images/3.png")
    assert (
        message_of(tmp_path) == f"{tmp_path}: contains Valid/ and val/, which have the same meaning. Keep one of them."
    )
    write_pngs(tmp_path / "inner", "images/train/1.png", "images/val/2.png", "masks/train/1.png")
    assert message_of(tmp_path / "inner") == f"{tmp_path}/inner: no folder masks/val/ beside images/val/"


def test_folder_that_is_called_images_itself(tmp_path):
    root = write_pngs(tmp_path / "images", "images/a.png", "masks/a.png")
    assert len(find(root).cases) == 1


def test_dataset_json_comes_before_other_names_than_images(tmp_path):
    write_pngs(tmp_path, "Image/a.png", "Mask/a.png")
    (tmp_path / "dataset.json").write_text("{}")
    assert "not a dataset.json of nnU-Net or Decathlon" in message_of(tmp_path)
    write_pngs(tmp_path / "set", "images/a.png", "masks/a.png")
    (tmp_path / "set" / "dataset.json").write_text("{}")
    assert len(find(tmp_path / "set").cases) == 1


@pytest.mark.parametrize(("image", "mask"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
@pytest.mark.parametrize("folder", ["masks", "masks/lungs"])
def test_decomposed_names_match_composed(tmp_path, image, mask, folder):
    names = [f"Müller{number}, 서울" for number in range(3)]
    for name in names:
        write_pngs(tmp_path, f"images/{unicodedata.normalize(image, name)}.png")
        write_pngs(tmp_path, f"{folder}/{unicodedata.normalize(mask, name)}.png")
    assert [case.id for case in find(tmp_path).cases] == names


def test_names_that_differ_in_normalization_alone(tmp_path):
    both = [unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD")]
    write_pngs(tmp_path, "masks/Müller.png", *(f"images/{name}.png" for name in both))
    assert "files whose names differ only in Unicode normalization (1):" in message_of(tmp_path)


@pytest.mark.parametrize("extension", ["PNG", "Png", "DCM", "Nii.GZ", "NII", "JPEG", "TIF", "Seg.Nrrd", "MHA"])
def test_extensions_in_any_case(tmp_path, extension):
    root = write_pngs(tmp_path, f"images/a.{extension}", "masks/lungs/a.png")
    assert [case.id for case in find(root).cases] == ["a"]


@pytest.mark.parametrize("folder", ["masks", "masks/lungs"])
def test_masks_with_an_affix(tmp_path, folder):
    names = ["1", "11", "CHNCXR_0001_0"]
    write_pngs(tmp_path, *(f"images/{name}.png" for name in names), *(f"{folder}/{name}_mask.png" for name in names))
    for case in find(tmp_path).cases:
        (source,) = case.masks.values()
        assert source.path.name == f"{case.id}_mask.png"


def test_targets_with_an_affix(tmp_path):
    root = write_pngs(tmp_path, "images/a.png", "targets/a_dark.png")
    assert find(root, color="rgb").cases[0].target == root / "targets" / "a_dark.png"


def test_mask_that_an_affix_does_not_explain(tmp_path):
    write_pngs(tmp_path, "images/1.png", "images/2.png", "masks/1_mask.png", "masks/2_seg.png")
    message = message_of(tmp_path)
    assert "masks without an image (2):\n    1_mask.png\n    2_seg.png" in message
    assert "images without a mask (2):\n    1.png\n    2.png" in message
