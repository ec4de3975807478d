import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

from medseg.radiograph import read_label_image, read_radiograph
from medseg.radiograph.raster import find_exif_orientation
from tests.support.dicom_files import phantom
from tests.support.raster_files import write_png, write_tiff

EIGHT = (phantom() >> 4).astype(np.uint8)
NAMES = ("a.png", "a.jpg", "a.tif", "packed.tif", "deep.png", "color.png", "written_last.png")


def write(folder, name, orientation):
    """A file with an orientation tag, and what Pillow shows of it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = folder / name
    pixels = phantom() if name == "deep.png" else EIGHT
    if name == "written_last.png":  # the EXIF data behind the pixels
        write_png(path, EIGHT, 8, 0)
        head = path.read_bytes()
        data = write_png(folder / "with.png", EIGHT, 8, 0, eXIf=exif.tobytes()[6:]).read_bytes()
        path.write_bytes(head[:-12] + data[33 : 33 + 12 + len(exif.tobytes()[6:])] + head[-12:])
    elif name == "a.tif":
        write_tiff(path, EIGHT, 8, orientation=orientation)
    else:
        pixels = np.stack([EIGHT] * 3, axis=2) if name == "color.png" else pixels
        options = {"compression": "tiff_lzw"} if name == "packed.tif" else {}
        Image.fromarray(pixels).save(path, exif=exif, **options)
    with Image.open(io.BytesIO(path.read_bytes())) as image:  # a path would be mapped, by the wrong size for 5 to 8
        shown = np.asarray(ImageOps.exif_transpose(image))
    return path, shown[:, :, 0] if shown.ndim == 3 else shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "orientation"), [*itertools.product(NAMES, range(1, 9)), *itertools.product(NAMES[:3], (0, 9, 65535))]
)
def test_image_is_read_as_pillow_shows_it_once(tmp_path, name, orientation):
    path, shown = write(tmp_path, name, orientation)
    turned = 2 <= orientation <= 8
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, shown)
    assert radiograph.exif_orientation == find_exif_orientation(path) == (orientation if turned else None)
    note = (f"the image was turned by its EXIF orientation {orientation}",) if turned else ()
    assert radiograph.warnings == read_radiograph(path, exif="apply").warnings == note
    np.testing.assert_array_equal(read_label_image(path).values, shown)
    assert len(read_label_image(path).warnings) == turned


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_is_read_as_stored_where_that_is_asked_for(tmp_path, name, orientation):
    path, _ = write(tmp_path, name, orientation)
    stored = phantom() if name == "deep.png" else EIGHT
    if name == "a.jpg":
        with Image.open(path) as image:
            stored = np.asarray(image)
    radiograph = read_radiograph(path, exif="ignore")
    np.testing.assert_array_equal(radiograph.pixels, stored)
    assert radiograph.exif_orientation is None
    note = f"the EXIF orientation {orientation} of the image was ignored"
    assert radiograph.warnings == ((note,) if orientation > 1 else ())
    np.testing.assert_array_equal(read_label_image(path, exif="ignore").values, stored)


def test_rgb_image_is_turned_with_its_channels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    color = np.stack([EIGHT, EIGHT[::-1], EIGHT[:, ::-1]], axis=2)
    Image.fromarray(color).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.png", color="rgb").pixels, shown)


@pytest.mark.parametrize("damage", [b"", b"garbage!", b"II*\0", b"II*\0\xff\xff\0\0", b"II*\0\x08\0\0\0\1\0\x12\1"])
def test_damaged_exif_data_turn_nothing(tmp_path, damage):
    for name in ("a.png", "a.jpg"):
        Image.fromarray(EIGHT).save(tmp_path / name, exif=b"Exif\0\0" + damage)
        radiograph = read_radiograph(tmp_path / name)
        Image.fromarray(EIGHT).save(plain := io.BytesIO(), radiograph.kind)
        np.testing.assert_array_equal(radiograph.pixels, np.asarray(Image.open(plain)))
        assert (radiograph.exif_orientation, radiograph.warnings) == (None, ())
