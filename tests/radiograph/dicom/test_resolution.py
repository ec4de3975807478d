import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from medseg.radiograph.dicom.resolution import find_reduction
from tests.support.codestreams import FRAMES, compress
from tests.support.dicom_files import HTJ2K_FRAME, phantom, write_dicom

J2K = {"encoding_plugin": "pylibjpeg"}
SIXTEEN = {"BitsStored": 16, "HighBit": 15}


def halve(pixels, times):
    """The low-pass part of the reversible 5-3 wavelet by the book (ITU-T T.800 F.4), down first, then across."""
    for axis in (0, 1) * times:
        lines = np.moveaxis(pixels.astype(int), axis, 0)
        padded = np.pad(lines, ((2, 2), (0, 0)), mode="reflect")
        odd = padded[1::2]  # x[-1], x[1], ...
        even = padded[0::2]  # x[-2], x[0], ...
        number = (len(lines) + 1) // 2
        details = [odd[n] - (even[n] + even[n + 1]) // 2 for n in range(number + 1) if n + 1 < len(even)]
        if len(details) == number:  # the mirror image of the last one
            details.append(details[-1])
        halved = [even[n + 1] + (details[n] + details[n + 1] + 2) // 4 for n in range(number)]
        pixels = np.moveaxis(np.array(halved), 0, axis)
    return pixels


def coded(pixels, **options):
    """`pixels` as a JPEG 2000 by Pillow."""
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "JPEG2000", **options)
    return buffer.getvalue()


def smooth(rows=96, columns=80):
    row, column = np.mgrid[:rows, :columns]
    return (2000 + 12 * row + 9 * column + 200 * np.sin(row / 11) * np.cos(column / 13)).astype(np.uint16)


@pytest.mark.parametrize("shape", [(96, 80), (61, 47), (33, 90)])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_pixels_are_the_low_pass_of_the_wavelet_around_each_second_fourth_eighth_pixel(tmp_path, shape, times):
    path = write_dicom(tmp_path / "a.dcm", phantom(*shape), syntax=uid.JPEG2000Lossless, compress=J2K)
    radiograph = read_radiograph(path, reduce=times)
    np.testing.assert_array_equal(radiograph.pixels, halve(phantom(*shape), times).clip(0, 4095))
    assert (radiograph.reduction, radiograph.size) == (2**times, shape)
    assert radiograph.spacing_mm == read_radiograph(path).spacing_mm
    assert radiograph.warnings == ()


def test_high_throughput_too(tmp_path):
    tags = {"syntax": uid.HTJ2KLossless, "frame": HTJ2K_FRAME, **SIXTEEN}
    found = read_radiograph(write_dicom(tmp_path / "a.dcm", phantom(24, 20), **tags), reduce=1)
    np.testing.assert_array_equal(found.pixels, halve(phantom(24, 20), 1))


def test_lossy_pixels_lie_at_the_same_places(tmp_path):
    options = {**J2K, "j2k_psnr": [80]}
    found = read_radiograph(write_dicom(tmp_path / "a.dcm", smooth(), syntax=uid.JPEG2000, compress=options), reduce=2)
    inner = np.abs(found.pixels - smooth()[::4, ::4])[1:-1, 1:-1]
    assert inner.max() < 12  # one pixel aside, the difference is 9 to 30


@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        ((phantom() >> 4).astype(np.uint8), {}),
        (phantom() * 16, SIXTEEN),
        (phantom().astype(np.int16) - 2048, {}),
        (phantom() >> 2, {"BitsStored": 10, "HighBit": 9}),
    ],
)
def test_bits_and_signs(tmp_path, pixels, tags):
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=uid.JPEG2000Lossless, compress=J2K, **tags)
    found = read_radiograph(path, reduce=1)
    least, greatest = np.iinfo(pixels.dtype).min, np.iinfo(pixels.dtype).max
    np.testing.assert_array_equal(found.pixels, halve(pixels, 1).clip(least, greatest))


@pytest.mark.parametrize("options", [{"no_jp2": False}, {"progression": "RLCP", "no_jp2": True}])
def test_boxes_and_progressions(tmp_path, options):
    frame = coded(phantom(), **options)
    path = write_dicom(tmp_path / "a.dcm", syntax=uid.JPEG2000Lossless, frame=frame, **SIXTEEN)
    np.testing.assert_array_equal(read_radiograph(path, reduce=2).pixels, halve(phantom(), 2).clip(0))


def test_each_tile_is_halved(tmp_path):
    frame = coded(phantom(), no_jp2=True, tile_size=(36, 28))
    path = write_dicom(tmp_path / "a.dcm", syntax=uid.JPEG2000Lossless, frame=frame, **SIXTEEN)
    whole = read_radiograph(path).pixels
    tiles = [[halve(whole[y : y + 28, x : x + 36], 2) for x in range(0, 80, 36)] for y in range(0, 96, 28)]
    found = read_radiograph(path, reduce=2)
    np.testing.assert_array_equal(found.pixels, np.block(tiles).clip(0, 65535))
    assert found.reduction == 4


def test_tiles_of_odd_sizes_stay_where_they_are(tmp_path):
    pixels = (smooth() >> 4).astype(np.uint8)
    frame = coded(pixels, no_jp2=True, tile_size=(37, 29))
    found = read_radiograph(write_dicom(tmp_path / "a.dcm", pixels, syntax=uid.JPEG2000Lossless, frame=frame), reduce=2)
    assert found.reduction == 4
    assert np.abs(found.pixels - pixels[::4, ::4]).max() <= 2


def test_a_codestream_is_halved_no_more_often_than_it_can_be(tmp_path):
    frame = coded(phantom(), no_jp2=True, num_resolutions=2)
    path = write_dicom(tmp_path / "a.dcm", syntax=uid.JPEG2000Lossless, frame=frame, **SIXTEEN)
    assert read_radiograph(path, reduce=3).reduction == 2


def test_more_bits_than_bits_stored_do_no_harm_if_they_are_empty(tmp_path):
    frame = compress(smooth() // 2, uid.JPEG2000Lossless, J2K, **SIXTEEN).data
    path = write_dicom(tmp_path / "a.dcm", smooth(), syntax=uid.JPEG2000Lossless, frame=frame)
    found = read_radiograph(path, reduce=1)
    np.testing.assert_array_equal(found.pixels, halve(smooth() // 2, 1))


def test_a_sign_that_the_codestream_does_not_know_is_read_whole(tmp_path):
    pixels = (phantom() // 3).astype(np.int16)
    pixels[:, :40] = -2 * (np.indices((96, 40)).sum(axis=0) % 2)  # as unsigned values, 0 and 4094, whose mean is 2047
    frame = compress((pixels & 0xFFF).astype(np.uint16), uid.JPEG2000Lossless, J2K).data
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=uid.JPEG2000Lossless, frame=frame)
    np.testing.assert_array_equal(read_radiograph(path, reduce=1).pixels, pixels)


@pytest.mark.parametrize(
    ("pixels", "tags", "overlay"),
    [
        (phantom() | np.where(phantom() > 2000, 1 << 12, 0).astype(np.uint16), {}, None),  # something above
        (phantom(), {}, 12),
        (phantom() * 16, {"HighBit": 15}, None),
    ],
)
def test_bits_that_the_wavelet_has_mixed_are_read_whole(tmp_path, pixels, tags, overlay):
    frame = compress(pixels, uid.JPEG2000Lossless, J2K, **SIXTEEN).data
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=uid.JPEG2000Lossless, frame=frame, **tags)
    if overlay:
        dataset = pydicom.dcmread(path)
        dataset.add_new(0x60000102, "US", overlay)
        dataset.save_as(path)
    found, whole = read_radiograph(path, reduce=1), read_radiograph(path)
    np.testing.assert_array_equal(found.pixels, whole.pixels)
    assert (found.reduction, found.warnings) == (1, whole.warnings)


@pytest.mark.parametrize("name", ["jpeg", "jpegls", "lossless", "rle"])
def test_other_codings_are_read_whole(tmp_path, name):
    frame = FRAMES[name]
    bits = frame.pixels.dtype.itemsize * 8
    tags = {"BitsStored": bits, "HighBit": bits - 1} if name == "jpeg" else {}
    path = write_dicom(tmp_path / "a.dcm", frame.pixels, syntax=frame.syntax, frame=frame.data, **tags)
    np.testing.assert_array_equal(read_radiograph(path, reduce=2).pixels, frame.decoded)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"\xff\x5c", b"\xff\x30"),  # no quantization
    ],
)
def test_damage_is_told_as_it_is_told_of_the_whole_image(tmp_path, damage):
    path = write_dicom(tmp_path / "a.dcm", syntax=uid.JPEG2000Lossless, frame=damage(FRAMES["j2k"].data))
    with pytest.raises(RadiographError) as known:
        read_radiograph(path)
    with pytest.raises(RadiographError) as found:
        read_radiograph(path, reduce=2)
    assert str(found.value) == str(known.value)


def test_a_factor_is_found_for_odd_sizes():
    assert find_reduction((2501, 2003), (626, 501)) == 4
    assert find_reduction((2501, 2003), (2501, 2003)) == 1
