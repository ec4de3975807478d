import numpy as np
import pytest
from PIL import Image

from medseg.checks.masks import check_masks
from medseg.checks.survey import survey_cases
from medseg.data.case import MaskSource
from medseg.data.cases import find_cases, list_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.layouts.label_maps import join_values
from medseg.data.masks import read_mask_files, stack_masks
from medseg.errors import DataError
from tests.support.slicer_files import name_segments, write_slicer

LABELS = np.zeros((40, 32), np.uint8)
LABELS[5:20, 4:14], LABELS[15:30, 12:26] = 1, 2
LUNGS, HEART = LABELS == 1, LABELS == 2


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def write_image(root, name):
    pixels = np.random.default_rng(len(name)).integers(0, 255, LABELS.shape)
    return write_png(root / "images" / f"{name}.png", pixels)


def write_segments(root, name, *segments, folder="masks", labels=None):
    """A case whose lungs and heart have the values 1 and 2 in the order of their names."""
    write_image(root, name)
    own = {"lungs": LUNGS, "heart": HEART}
    drawn = sum(own.get(s.strip().lower(), LABELS > 9) * (value + 1) for value, s in enumerate(segments))
    return write_slicer(
        root / folder / f"{name}.seg.nrrd", drawn if labels is None else labels, name_segments(*segments)
    )


def read(root, **settings):
    config = DataConfig(root=root, **settings)
    found = find_cases(config)
    return found, [stack_masks(read_mask_files(case.masks, config, []), found.classes) for case in found.cases]


def message_of(root, **settings):
    with pytest.raises(DataError) as caught:
        find_cases(DataConfig(root=root, **settings))
    return str(caught.value)


def check(root, **settings):
    """The errors that a look at every case finds, by code."""
    config, findings = DataConfig(root=root, **settings), Findings()
    found = list_cases(config, findings)
    surveys = survey_cases(found.cases, found.classes, config, PreprocessConfig(size=(32, 32)), findings)
    check_masks(surveys, found.classes, findings)
    return {finding.code: finding for finding in findings.listed() if finding.severity == "error"}


@pytest.mark.parametrize("classes", [None, ("heart", "lungs"), ("Heart", "LUNGS")])
def test_names_in_slicer_files_decide(tmp_path, classes):
    write_segments(tmp_path, "a", "lungs", "heart")
    write_segments(tmp_path, "b", "Heart ", " LUNGS")
    found, masks = read(tmp_path, classes=classes)
    assert [name.lower() for name in found.classes] == ["heart", "lungs"]
    np.testing.assert_array_equal(masks, [np.stack([HEART, LUNGS])] * 2)


def test_content_and_not_the_extension_tells_slicer_files(tmp_path):
    write_segments(tmp_path, "a", "heart", "lungs").rename(tmp_path / "masks" / "a.nrrd")
    _, (masks,) = read(tmp_path, classes=("lungs", "heart"))
    np.testing.assert_array_equal(masks, np.stack([LUNGS, HEART]))


def test_manifest_of_slicer_files(tmp_path):
    write_segments(tmp_path, "a", "heart", "lungs", folder="m")
    (tmp_path / "cases.csv").write_text("image,mask\nimages/a.png,m/a.seg.nrrd\n")
    _, (masks,) = read(tmp_path / "cases.csv", classes=("lungs", "heart"))
    np.testing.assert_array_equal(masks, np.stack([LUNGS, HEART]))


def test_names_that_no_class_may_have_are_changed_as_those_of_a_dicom_seg(tmp_path):
    write_segments(tmp_path, "a", "Left lung", labels=LUNGS)
    found, (masks,) = read(tmp_path)
    assert found.classes == ("Left_lung",)
    np.testing.assert_array_equal(masks[0], LUNGS)


@pytest.mark.parametrize(
    ("segments", "listed"),
    [
        (("lungs", "heart", "ruler"), "lungs, heart, ruler"),
        (("lungs", "Hert"), "lungs, Hert"),
        (("lungs",), "lungs"),
        ((), "none"),
        (("lungs", "heart", "he art", "he-art"), "lungs, heart, he art, he-art"),
    ],
)
def test_names_that_differ_from_the_classes_list_both(tmp_path, segments, listed):
    write_segments(tmp_path, "ok", "heart", "lungs")
    write_segments(tmp_path, "bad", *segments, labels=LUNGS)
    if not segments:
        header = ["Segmentation_ContainedRepresentationNames:=Binary labelmap|"]
        write_slicer(tmp_path / "masks" / "bad.seg.nrrd", LUNGS[:1, :1], [], more=header)
    message = message_of(tmp_path, classes=("lungs", "heart"))
    assert f"bad.seg.nrrd: segments {listed}, but classes lungs, heart" in message
    assert message.count("bad") == 1


def test_class_that_is_left_out_on_purpose_is_an_error_too(tmp_path):
    write_segments(tmp_path, "a", "heart", "lungs")
    assert "segments heart, lungs, but classes lungs" in message_of(tmp_path, classes=("lungs",))


def test_case_without_one_class_may_be_ignored(tmp_path):
    write_segments(tmp_path, "a", "heart", "lungs")
    write_segments(tmp_path, "b", "lungs")
    found, masks = read(tmp_path, missing="ignore")
    assert [sorted(case.masks) for case in found.cases] == [["heart", "lungs"], ["lungs"]]
    np.testing.assert_array_equal(masks[1], np.stack([0 * LUNGS, LUNGS]))
    write_segments(tmp_path, "c", "lungs", "hart", labels=LABELS)
    assert "hart" in message_of(tmp_path, missing="ignore", classes=("lungs", "heart"))


def test_class_folders_of_slicer_files(tmp_path):
    write_segments(tmp_path, "a", "Segment_1", folder="masks/lungs", labels=LUNGS)
    write_segments(tmp_path, "a", "lungs", "Heart", folder="masks/heart")
    found, (masks,) = read(tmp_path)
    np.testing.assert_array_equal(masks, np.stack([HEART, LUNGS]))
    write_segments(tmp_path, "a", "x", "y", folder="masks/heart", labels=LABELS)
    assert "a.seg.nrrd: segments x, y, but classes heart" in message_of(tmp_path)
    assert found.classes == ("heart", "lungs")


def test_values_without_names_beside_slicer_files_need_an_order(tmp_path):
    write_segments(tmp_path, "a", "heart", "lungs")
    write_image(tmp_path, "b")
    write_png(tmp_path / "masks" / "b.png", LABELS)
    assert "b.png: has no segment names, but other masks have" in message_of(tmp_path)
    _, masks = read(tmp_path, classes=("lungs", "heart"))
    np.testing.assert_array_equal(masks, [np.stack([LUNGS, HEART])] * 2)


def test_slicer_files_that_are_broken_are_named_when_they_are_read(tmp_path):
    path = write_segments(tmp_path, "a", "heart", "lungs")
    path.write_bytes(path.read_bytes()[:-9])
    found = check(tmp_path)
    assert "a.seg.nrrd: the compressed data" in found["unreadable"].reasons["a"]


@pytest.fixture
def label_maps(tmp_path):
    for name in ("a", "bb", "ccc"):
        write_image(tmp_path, name)
        write_png(tmp_path / "masks" / f"{name}.png", LABELS if name != "bb" else HEART * 2)
    return tmp_path


@pytest.mark.parametrize("classes", [None, ("lungs",)])
def test_label_maps_of_one_class_are_one_error(label_maps, classes):
    found = check(label_maps, classes=classes)
    assert set(found) == {"label_values"}
    assert set(found["label_values"].cases) == {"a", "ccc"}


def test_label_maps_in_a_class_folder_are_an_error(label_maps):
    (label_maps / "masks").rename(label_maps / "lungs")
    (label_maps / "masks").mkdir()
    (label_maps / "lungs").rename(label_maps / "masks" / "lungs")
    assert "data.classes" not in check(label_maps)["label_values"].remedy
    assert check(label_maps, label_values={"lungs": "nonzero"}) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "classes", "expected"),
    [
        ({"classes": ("lungs", "heart")}, ("lungs", "heart"), [LUNGS, HEART]),
        ({"label_values": {"heart": [2], "lungs": 1}}, ("heart", "lungs"), [HEART, LUNGS]),
        ({"label_values": {"heart": [2], "lungs": [1]}, "classes": ("lungs",)}, ("lungs",), [LUNGS]),
        ({"label_values": {"chest": [1, 2], "heart": [2]}}, ("chest", "heart"), [LABELS > 0, HEART]),
        ({"label_values": {"chest": "nonzero"}}, ("chest",), [LABELS > 0]),
        ({"label_values": {"lungs": [1], "chest": "nonzero"}}, ("lungs", "chest"), [LUNGS, LABELS > 0]),
    ],
)
def test_values_are_classes_as_the_settings_say(label_maps, settings, classes, expected):
    found, masks = read(label_maps, **settings)
    assert found.classes == classes
    np.testing.assert_array_equal(masks[0], expected)
    assert check(label_maps, **settings) == {}


def test_values_of_no_class_are_one_error(label_maps):
    found = check(label_maps, label_values={"lungs": [1]})
    assert found["unknown_label"].cases == ("a", "bb", "ccc")
    assert "2 (" in found["unknown_label"].reasons["a"]


def test_classes_without_values(label_maps):
    message = message_of(label_maps, label_values={"lungs": [1], "heart": [2]}, classes=("lungs", "bone"))
    assert "unknown classes; this data set has heart, lungs (1):\n    bone" in message


def test_values_in_a_manifest(label_maps):
    (label_maps / "cases.csv").write_text("image,mask\nimages/a.png,masks/a.png\n")
    _, (masks,) = read(label_maps / "cases.csv", label_values={"heart": [2], "lungs": [1]})
    np.testing.assert_array_equal(masks, [HEART, LUNGS])
    (label_maps / "cases.csv").write_text("image,mask_x,mask_y\nimages/a.png,masks/a.png,masks/bb.png\n")
    found, (masks,) = read(label_maps / "cases.csv", label_values={"x": [1], "z": [2]})
    np.testing.assert_array_equal(masks, [LUNGS, HEART])
    assert found.cases[0].masks["y"] == MaskSource(label_maps / "masks" / "bb.png", alone=True)


def test_settings_stand_before_dataset_json(tmp_path):
    write_png(tmp_path / "imagesTr" / "a_0000.png", LABELS * 9)
    write_png(tmp_path / "labelsTr" / "a.png", LABELS)
    (tmp_path / "dataset.json").write_text(
        '{"channel_names": {"0": "x"}, "labels": {"background": 0, "any": [1, 2]}, "file_ending": ".png"}'
    )
    found, (masks,) = read(tmp_path, label_values={"heart": [2], "lungs": [1]})
    assert found.classes == ("heart", "lungs")
    np.testing.assert_array_equal(masks, [HEART, LUNGS])


def test_joined_values():
    assert join_values([(3, 1), (1, 2)]) == (1, 2, 3)
    assert join_values([(1,), "nonzero"]) == "nonzero"
