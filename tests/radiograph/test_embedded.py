import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from medseg.errors import RadiographError
from medseg.radiograph import identify_kind, read_label_image, read_radiograph
from medseg.radiograph.dicom.read import read_patient

PIXELS = (np.arange(720).reshape(24, 30) % 251).astype(np.uint8)


def encode(pixels, kind="PNG", **options):
    Image.fromarray(pixels).save(file := BytesIO(), kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def write(path, data, **others):
    shapes = [{"label": "heart", "points": [[i, i] for i in range(200)]} for _ in range(3)]
    path.write_text(json.dumps({"shapes": shapes, "imagePath": "a.png", "imageData": data, **others}))
    return path


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_the_image_inside_is_read(tmp_path, kind):
    path = write(tmp_path / "a.json", encode(PIXELS, kind))
    assert identify_kind(path) == "labelme"
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)
    assert (radiograph.kind, radiograph.lossy, read_patient(path)) == ("labelme", False, None)


def test_a_jpeg_inside_is_lossy_and_a_prefix_and_line_ends_are_allowed(tmp_path):
    data = encode(PIXELS, "JPEG")
    path = write(tmp_path / "a.JSON", f"data:image/jpeg;base64,{data[:50]}\n{data[50:]}")
    radiograph = read_radiograph(path)
    assert radiograph.lossy
    assert radiograph.pixels.shape == PIXELS.shape


@pytest.mark.parametrize(("exif", "expected"), [(None, np.rot90(PIXELS, -1)), ("ignore", PIXELS)])
def test_exif_is_applied_as_in_files(tmp_path, exif, expected):
    tags = Image.Exif()
    tags[0x0112] = 6
    radiograph = read_radiograph(write(tmp_path / "a.json", encode(PIXELS, exif=tags)), exif=exif)
    np.testing.assert_array_equal(radiograph.pixels, expected)
    assert radiograph.exif_orientation == (None if exif else 6)


def test_colors_and_polarity_are_read_as_in_files(tmp_path):
    path = write(tmp_path / "a.json", encode(np.stack([PIXELS, PIXELS, PIXELS // 2], axis=2)))
    assert read_radiograph(path, color="rgb").pixels.shape == (24, 30, 3)
    with pytest.raises(RadiographError, match=r"a\.json: is a color image"):
        read_radiograph(path)
    inverted = read_radiograph(write(path, encode(PIXELS)), invert=True)
    np.testing.assert_array_equal(inverted.pixels, 255 - PIXELS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("AAAA", r"the embedded image \(imageData\) is not in a supported format\. Add the image as a file"),
        ("AAA", r"the embedded image \(imageData\) is not valid base64"),
        ("ü" * 8, r"the embedded image \(imageData\) is not valid base64"),
        (encode(PIXELS)[:100], "the PNG data are damaged or cut short"),
        (encode(PIXELS, "JPEG")[:400], "JPEG"),
    ],
)
def test_damaged_images_are_named(tmp_path, data, reason):
    with pytest.raises(RadiographError, match=rf"a\.json: .*{reason}"):
        read_radiograph(write(tmp_path / "a.json", data))


def test_a_file_that_is_cut_short(tmp_path):
    path = write(tmp_path / "a.json", encode(PIXELS))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RadiographError, match=r"a\.json: is not valid JSON"):
        read_radiograph(path)


@pytest.mark.parametrize("data", [None, "", 7])
def test_files_without_an_image_are_no_images(tmp_path, data):
    with pytest.raises(RadiographError, match="is not in a supported format"):
        read_radiograph(write(tmp_path / "a.json", data))
    path = write(tmp_path / "a.json", encode(PIXELS)).rename(tmp_path / "a.txt")
    with pytest.raises(RadiographError, match="is not in a supported format"):
        read_radiograph(path)


def test_the_field_is_found_across_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.radiograph.embedded._PIECE", 20)
    assert identify_kind(write(tmp_path / "a.json", encode(PIXELS))) == "labelme"


def test_an_image_is_no_mask(tmp_path):
    with pytest.raises(RadiographError, match=r"a\.json: is a LabelMe file with an image, not a mask"):
        read_label_image(write(tmp_path / "a.json", encode(PIXELS)))
