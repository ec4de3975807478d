import csv
import shutil

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from medseg.annotations import FORMATS
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.masks import read_mask_files
from medseg.data.preprocess import build_input, scale_intensity
from medseg.output.data_set import IGNORED, MAY_SHOW_TEXT, PADDED, RESIZED, UNKNOWN, encode_image, write_data_set
from medseg.phantom.dicom import write_phantoms
from medseg.radiograph import read_radiograph
from tests.support.dicom_files import write_dicom
from tests.support.shape_images import write_png_folder

WRITTEN = ["folder", *(name for name, format in FORMATS.items() if format.dump)]
READ = DataConfig()


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 3, 96, 0)


def convert(root, folder, format, **settings):
    config = DataConfig(root=root, **settings)
    return write_data_set(folder, find_cases(config), config, format, Findings())


def masks(case):
    return {label: read.mask for label, read in read_mask_files(case.masks, READ, []).items()}


def network_input(path):
    radiograph = read_radiograph(path)
    return build_input(radiograph.pixels, radiograph.padding, PreprocessConfig(size=(64, 64)))[0]


@pytest.mark.parametrize("format", WRITTEN)
def test_masks_and_network_inputs_are_the_same_bits(phantoms, tmp_path, format):
    written = convert(phantoms, tmp_path, format)
    assert all(set(each.remarks) <= {MAY_SHOW_TEXT} for each in written)
    before, after = (find_cases(DataConfig(root=root)) for root in (phantoms, tmp_path))
    assert before.classes == after.classes
    for old, new in zip(before.cases, after.cases, strict=True):
        assert old.id == new.id
        old_masks, new_masks = masks(old), masks(new)
        for label in before.classes:
            np.testing.assert_array_equal(old_masks[label], new_masks[label])
        np.testing.assert_array_equal(network_input(old.image), network_input(new.image))


def test_no_file_holds_data_of_a_patient(phantoms, tmp_path):
    root = shutil.copytree(phantoms, tmp_path / "data")
    for number, path in enumerate(sorted((root / "images").iterdir())):
        dataset = dcmread(path)
        dataset.PatientName, dataset.PatientID, dataset.BurnedInAnnotation = "Secret^Name", f"SECRET{number}", "YES"
        dataset.save_as(path)
    folder = tmp_path / "out"
    written = convert(root, folder, "folder")
    assert [each.remarks for each in written] == [(MAY_SHOW_TEXT,)] * 3
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"secret" not in content.lower()
    rows = list(csv.DictReader((folder / "cases.csv").read_text().splitlines()))
    assert [row["patient"] for row in rows] == ["p001", "p002", "p003"]
    assert [case.id for case in find_cases(DataConfig(root=folder / "cases.csv")).cases] == [
        row["image"].removeprefix("images/").removesuffix(".png") for row in rows
    ]


@pytest.mark.parametrize(
    ("greatest", "kind", "factor"), [(255, np.uint8, 1), (256, np.uint16, 128), (4095, np.uint16, 16)]
)
def test_whole_numbers_keep_their_ratios(greatest, kind, factor):
    pixels = np.random.default_rng(0).integers(0, greatest + 1, (40, 30)).astype(np.float32)
    pixels[0, 0] = greatest
    encoded, rounded = encode_image(pixels)
    assert (encoded.dtype, rounded) == (kind, False)
    np.testing.assert_array_equal(encoded, pixels * factor)
    config = PreprocessConfig()
    before, after = (scale_intensity(values.astype(np.float32), None, config) for values in (pixels, encoded))
    np.testing.assert_array_equal(before, after)


def test_other_values_fill_16_bits():
    encoded, rounded = encode_image(np.array([[-1.5, 0], [0.25, 2.5]], np.float32))
    assert rounded
    np.testing.assert_array_equal(encoded, [[0, 24576], [28672, 65535]])


def test_nothing_is_left_if_an_image_cannot_be_read(tmp_path):
    root = write_png_folder(tmp_path / "data", 3)
    (root / "images" / "case01.png").write_bytes(b"no image")
    config, findings = DataConfig(root=root), Findings()
    write_data_set(tmp_path / "out", find_cases(config), config, "coco", findings)
    assert findings.cases("unreadable") == {"case01"}
    assert not list((tmp_path / "out").rglob("*.*"))


def test_nothing_is_left_if_the_values_of_masks_are_not_clear(tmp_path):
    root = write_png_folder(tmp_path / "set", 2)
    (root / "masks").rename(root / "first")
    for path in sorted((root / "images").iterdir()):
        values = np.zeros(np.asarray(Image.open(path)).shape[:2], np.uint8)
        values[3:9, 3:9], values[12:19, 12:19] = 1, 2
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(values).save(root / "masks" / path.name)
    config, findings = DataConfig(root=root), Findings()
    write_data_set(tmp_path / "out", find_cases(config), config, "coco", findings)
    assert [finding.code for finding in findings.listed() if finding.severity == "error"] == ["label_values"]
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


def test_classes_without_a_mask_are_named(tmp_path):
    root = write_png_folder(tmp_path / "data", 3)
    (root / "masks" / "box" / "case02.png").unlink()
    written = convert(root, tmp_path / "a", "coco", missing="ignore")
    assert [each.image.stem for each in written if UNKNOWN in each.remarks] == ["case02"]
    convert(root, tmp_path / "b", "folder", missing="ignore")
    assert not (tmp_path / "b" / "masks" / "box" / "case02.png").exists()


def test_images_are_8_bits_if_that_is_enough(tmp_path):
    convert(write_png_folder(tmp_path / "data", 1), tmp_path / "out", "labelme")
    with Image.open(tmp_path / "out" / "images" / "case00.png") as image:
        assert image.mode == "L"


def test_ignored_pixels_are_named(tmp_path):
    root = write_png_folder(tmp_path / "data", 2)
    path = root / "masks" / "box" / "case01.png"
    with Image.open(path) as image:
        mask = np.array(image)
    mask[:2] = 77
    Image.fromarray(mask).save(path)
    written = convert(root, tmp_path / "out", "coco", ignore_value=77)
    assert [each.image.stem for each in written if IGNORED in each.remarks] == ["case01"]


@pytest.mark.parametrize("format", WRITTEN)
def test_outlines_are_drawn_in_pixels_of_the_image(tmp_path, format):
    root = write_png_folder(tmp_path / "data", 2)
    for path in (root / "masks").rglob("*.png"):
        with Image.open(path) as image:
            half = image.resize((image.width // 2, image.height // 2), Image.Resampling.NEAREST)
        half.save(path)
    written = convert(root, tmp_path / "out", format)
    assert [RESIZED in each.remarks for each in written] == [format != "folder"] * 2
    for old, new in zip(*(find_cases(DataConfig(root=each)).cases for each in (root, tmp_path / "out")), strict=True):
        for label, mask in masks(old).items():
            wanted = mask if format == "folder" else mask.repeat(2, axis=0).repeat(2, axis=1)
            np.testing.assert_array_equal(masks(new)[label], wanted)


def test_padding_stays_black_to_the_network(tmp_path):
    pixels = np.random.default_rng(0).integers(1000, 2000, (64, 64)).astype(np.uint16)
    pixels[:, :12] = 4095
    for folder in ("images", "masks/box"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(2):
        write_dicom(tmp_path / "data" / "images" / f"{number}.dcm", pixels, PixelPaddingValue=4095, BitsStored=12)
        Image.fromarray((pixels > 1900).astype(np.uint8)).save(tmp_path / "data" / "masks" / "box" / f"{number}.png")
    written = convert(tmp_path / "data", tmp_path / "out", "folder")
    assert all(PADDED in each.remarks for each in written)
    before = network_input(tmp_path / "data" / "images" / "0.dcm")
    after = network_input(tmp_path / "out" / "images" / "0.png")
    np.testing.assert_allclose(after, before, atol=0.05)


def test_names_with_a_backslash_are_found_again(tmp_path):
    root = write_png_folder(tmp_path / "data", 3)
    for number, name in enumerate(("a\\b", "a_b")):
        for folder in ("images", "masks/box", "masks/disc"):
            (root / folder / f"case{number:02d}.png").rename(root / folder / f"{name}.png")
    for format in ("folder", "coco", "labelme"):
        convert(root, tmp_path / format, format)
        assert len(find_cases(DataConfig(root=tmp_path / format)).cases) == 3
