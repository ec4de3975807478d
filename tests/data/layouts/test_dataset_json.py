import json
import unicodedata

import highdicom
import numpy as np
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from PIL import Image
from pydicom import dcmread
from pydicom.sr.codedict import codes

from medseg.data.case import MaskSource
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.errors import DataError
from tests.support.dicom_files import write_dicom

PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def write_png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURE).save(path)
    return path


def find(root, **settings):
    return find_cases(DataConfig(root=root, **settings))


def message_of(root, **settings):
    with pytest.raises(DataError) as caught:
        find(root, **settings)
    return str(caught.value)


def test_label_map_has_a_value_for_each_class(tmp_path):
    write_png(tmp_path / "images" / "a.png")
    mask = write_png(tmp_path / "masks" / "a.png")
    found = find(tmp_path, classes=("lungs", "heart"))
    assert found.cases[0].masks == {"lungs": MaskSource(mask, (1,), (1, 2)), "heart": MaskSource(mask, (2,), (1, 2))}
    assert find(tmp_path).cases[0].masks == {"foreground": MaskSource(mask)}


def test_mask_files_beside_class_folders(tmp_path):
    write_png(tmp_path / "images" / "a.png")
    write_png(tmp_path / "masks" / "a.png")
    write_png(tmp_path / "masks" / "lungs" / "a.png")
    assert "files beside the class folders in masks/ (1):\n    a.png" in message_of(tmp_path)


def test_color_pairs(tmp_path):
    for name in ("images/a.png", "targets/a.jpg", "images/b.png", "targets/c.png"):
        write_png(tmp_path / name)
    message = message_of(tmp_path, color="rgb")
    assert "targets without an image (1):\n    c.png" in message
    assert "images without a target (1):\n    b.png" in message
    (tmp_path / "images/b.png").unlink()
    (tmp_path / "targets/c.png").unlink()
    found = find(tmp_path, color="rgb")
    assert found.classes == ("red", "green", "blue")
    assert found.cases[0].target == tmp_path / "targets" / "a.jpg"


def write_segmentation(path, image, labels):
    source = dcmread(image)
    masks = np.zeros((1, source.Rows, source.Columns, len(labels)), np.uint8)
    for number in range(len(labels)):
        masks[0, number : number + 3, :5, number] = 1
    described = [
        SegmentDescription(
            number,
            label,
            codes.SCT.Organ,
            codes.SCT.Lung,
            highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, start=1)
    ]
    Segmentation(
        [source], masks, highdicom.seg.SegmentationTypeValues.BINARY, described, highdicom.UID(), 1, highdicom.UID(), 1,
        "maker", "model", "1", "0",
    ).save_as(path)  # fmt: skip
    return path


@pytest.fixture
def dicom_images(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number, name in enumerate("ab", start=1):
        write_dicom(
            tmp_path / "images" / f"{name}.dcm",
            SOPInstanceUID=f"1.2.3.{number}",
            PatientID=name,
            PatientOrientation=["L", "F"],
            FrameOfReferenceUID="1.2.3.9",
        )
    return tmp_path


@pytest.mark.slow
def test_dicom_seg_belongs_to_the_picture_it_references(dicom_images):
    second = write_segmentation(dicom_images / "masks" / "1", dicom_images / "images" / "b.dcm", ["Left Lung", "Heart"])
    first = write_segmentation(dicom_images / "masks" / "2", dicom_images / "images" / "a.dcm", ["Left Lung", "Heart"])
    found = find(dicom_images)
    assert found.classes == ("Heart", "Left_Lung")
    assert found.cases[0].masks["Left_Lung"] == MaskSource(first, segment="Left Lung")
    assert found.cases[1].masks["Heart"] == MaskSource(second, segment="Heart")


def test_dicom_seg_problems(dicom_images, tmp_path):
    image = dicom_images / "images" / "a.dcm"
    write_segmentation(dicom_images / "masks" / "1", image, ["Lung"])
    write_segmentation(dicom_images / "masks" / "2", image, ["Lung "])
    stranger = write_dicom(tmp_path / "c.dcm", SOPInstanceUID="1.2.3.77", FrameOfReferenceUID="1.2.3.9")
    write_segmentation(dicom_images / "masks" / "3", stranger, ["Lung"])
    broken = dcmread(dicom_images / "masks" / "1")
    del broken.PixelData
    broken.save_as(dicom_images / "masks" / "4")
    message = message_of(dicom_images)
    assert "images with several masks of one class (1):\n    a: Lung" in message
    assert "DICOM SEG files that reference no image of this data set (1):\n    3" in message
    assert "masks that cannot be read (1):" in message
    assert "masks/4: is a DICOM segmentation without pixel data" in message
    assert "images without a mask (1):\n    b.dcm" in message


def write_nnunet(root, labels, names=("a", "b"), **changes):
    for name in names:
        write_png(root / "imagesTr" / f"{name}_0000.png")
        write_png(root / "labelsTr" / f"{name}.png")
    described = {"channel_names": {"0": "xray"}, "labels": labels, "file_ending": ".png", "numTraining": 2, **changes}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def test_nnunet(tmp_path):
    found = find(write_nnunet(tmp_path, {"background": 0, "lung": 1, "chest": [1, 2], "ignore": 3}))
    assert found.classes == ("lung", "chest")
    assert found.cases[1].image == tmp_path / "imagesTr" / "b_0000.png"
    assert found.cases[1].masks == {
        "lung": MaskSource(tmp_path / "labelsTr" / "b.png", (1,), (1, 2), ignored=3),
        "chest": MaskSource(tmp_path / "labelsTr" / "b.png", (1, 2), (1, 2), ignored=3),
    }


@pytest.mark.parametrize("ending", [".png", ".PNG"])
def test_nnunet_of_names_in_other_spellings(tmp_path, ending):
    decomposed, composed = (unicodedata.normalize(form, "Müller") for form in ("NFD", "NFC"))
    root = write_nnunet(tmp_path, {"background": 0, "lung": 1}, ("a",), file_ending=ending)
    image, mask = (
        write_png(root / "imagesTr" / f"{decomposed}_0000.Png"),
        write_png(root / "labelsTr" / f"{composed}.PNG"),
    )
    found = find(root)
    assert [case.id for case in found.cases] == [composed, "a"]
    assert (found.cases[0].image, found.cases[0].masks["lung"].path) == (image, mask)


def test_decathlon_of_names_in_other_spellings(tmp_path):
    write_nnunet(
        tmp_path,
        {"0": "background", "1": "lung"},
        ("Mu\u0308ller",),
        training=[{"image": ".\\imagesTr\\M\u00fcller_0000.png", "label": "labelsTr\\M\u00fcller.png"}],
        modality={"0": "X-ray"},
    )
    assert [case.id for case in find(tmp_path).cases] == ["M\u00fcller_0000"]


def test_part_of_the_classes_leaves_the_other_labels_known(tmp_path):
    found = find(write_nnunet(tmp_path, {"background": 0, "lung": 1, "heart": 2}), classes=("heart",))
    assert found.cases[0].masks["heart"].known == (1, 2)


def test_nnunet_problems(tmp_path):
    root = write_nnunet(tmp_path, {"background": 0, "lung": 1})
    (root / "labelsTr" / "a.png").unlink()
    write_png(root / "labelsTr" / "c.png")
    message = message_of(root)
    assert "missing masks (1):\n    a.png" in message
    assert "masks without an image (1):\n    c.png" in message
    assert "unknown classes; this data set has lung (1):\n    heart" in message_of(root, classes=("heart",))


def test_decathlon(tmp_path):
    write_nnunet(
        tmp_path,
        {"0": "background", "1": "Left lung"},
        training=[{"image": "./imagesTr/a_0000.png", "label": "./labelsTr/a.png"}],
        modality={"0": "X-ray"},
    )
    found = find(tmp_path / "dataset.json")
    assert found.classes == ("Left_lung",)
    assert [case.id for case in found.cases] == ["a_0000"]


def test_nnunet_1_lists_images_without_their_channel(tmp_path):
    listed = [{"image": "./imagesTr/a.png", "label": "./labelsTr/a.png"}]
    write_nnunet(tmp_path, {"0": "background", "1": "lung"}, training=listed, modality={"0": "X-ray"})
    (case,) = find(tmp_path / "dataset.json").cases
    assert (case.id, case.image) == ("a", tmp_path / "imagesTr" / "a_0000.png")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a dataset.json"),
        ("[]", "not a dataset.json"),
        ("{}", "not a dataset.json of nnU-Net or Decathlon (KeyError: 'labels')"),
        ('{"labels": {"background": 0}}', "no label besides the background"),
        ('{"labels": {"a": "b"}}', "not a dataset.json"),
        ('{"labels": {"a": 1}, "channel_names": {"0": "a", "1": "b"}}', "2 channels, but a radiograph has one channel"),
        ('{"labels": {"a": 1}, "training": [{"image": "x.png"}]}', "an entry of 'training' lacks 'image' or 'label'"),
        ('{"labels": {"a": 1}, "training": [{"image": "\\ud800", "label": "x"}]}', "missing images"),
        ('{"labels": {"a": 1}, "training": []}', "no images found"),
        ('{"labels": {"a": 1}}', "no images found"),
        ('{"labels": {"\u80ba": 1}}', "invalid class names (use up to 32"),
    ],
)
def test_description_problems(tmp_path, text, said):
    (tmp_path / "dataset.json").write_text(text)
    assert said in message_of(tmp_path)
