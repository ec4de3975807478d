import io
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image, PngImagePlugin

from medseg.errors import RadiographError
from medseg.radiograph import image, read_radiograph
from medseg.radiograph.raster import invert
from tests.support.dicom_files import phantom
from tests.support.raster_files import write_png, write_tiff

EIGHT = (phantom() >> 4).astype(np.uint8)


def read(path, **options):
    radiograph = read_radiograph(path, **options)
    assert radiograph.spacing_mm is None
    assert radiograph.spacing_source == "none"
    return radiograph


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_gray_png_of_any_depth_keeps_its_levels(tmp_path, bits):
    pixels = phantom() >> (12 - min(bits, 12))
    np.testing.assert_array_equal(read(write_png(tmp_path / "a.png", pixels, bits, 0)).pixels, pixels)


@pytest.mark.parametrize(("bits", "color_type", "channels"), [(8, 4, 2), (8, 2, 3), (8, 6, 4), (16, 2, 3), (16, 6, 4)])
def test_equal_channels_are_gray_and_full_alpha_is_nothing(tmp_path, bits, color_type, channels):
    pixels = np.stack([phantom() >> (12 - min(bits, 12))] * channels, axis=2)
    if color_type in (4, 6):
        pixels[:, :, -1] = (1 << bits) - 1
    radiograph = read(write_png(tmp_path / "a.png", pixels, bits, color_type))
    np.testing.assert_array_equal(radiograph.pixels, pixels[:, :, 0])
    assert radiograph.warnings == ()


@pytest.mark.parametrize("opaque", [True, False])
def test_deep_gray_with_transparency(tmp_path, opaque):
    """Of Pillow the high bytes come, SimpleITK refuses it: the values are those that were written."""
    pixels = np.stack([phantom() * 16 + 7, phantom() * 0 + 65535 if opaque else phantom()], axis=2)
    radiograph = read(write_png(tmp_path / "a.png", pixels, 16, 4))
    np.testing.assert_array_equal(radiograph.pixels, pixels[:, :, 0])
    assert radiograph.warnings == (() if opaque else ("the transparency of the image was ignored",))


def test_deep_gray_with_transparency_is_filtered_as_any(tmp_path):
    """Each row as its difference to the one above and as the one to its left (ISO 15948 9.2), two bytes a sample."""
    pixels = np.stack([phantom() * 16 + 7, phantom() * 0 + 65535], axis=2)
    lines = pixels.reshape(96, -1).astype(">u2").view(np.uint8).reshape(96, -1)
    up = np.diff(lines, axis=0, prepend=np.zeros((1, 320), np.uint8))
    left = lines - np.pad(lines, ((0, 0), (4, 0)))[:, :-4]
    data = b"".join((b"\2" + up[r].tobytes()) if r % 2 else (b"\1" + left[r].tobytes()) for r in range(96))
    path = write_png(tmp_path / "a.png", pixels, 16, 4)
    whole = path.read_bytes()
    body = b"IDAT" + zlib.compress(data)
    path.write_bytes(whole[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
                     + b"\0\0\0\0IEND\xaeB`\x82")  # fmt: skip
    np.testing.assert_array_equal(read(path).pixels, pixels[:, :, 0])


def test_transparency_is_ignored_with_a_warning(tmp_path):
    radiograph = read(write_png(tmp_path / "a.png", np.stack([EIGHT, EIGHT.T.reshape(EIGHT.shape)], axis=2), 8, 4))
    np.testing.assert_array_equal(radiograph.pixels, EIGHT)
    assert radiograph.warnings == ("the transparency of the image was ignored",)


def test_gray_palette_png_gives_its_colors(tmp_path):
    palette = bytes(level for index in range(16) for level in [255 - 16 * index] * 3)
    indices = EIGHT >> 4
    path = write_png(tmp_path / "a.png", indices, 4, 3, PLTE=palette)
    np.testing.assert_array_equal(read(path).pixels, 255 - 16 * indices.astype(int))


def test_interlaced_png(tmp_path):
    # Pillow cannot write one; SimpleITK cannot either: seven passes by hand (ISO 15948, 8.2)
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    data = b"".join(b"\0" + line.tobytes() for r, dr, c, dc in passes for line in EIGHT[r::dr, c::dc])
    header = struct.pack(">IIBBBBB", 80, 96, 8, 0, 0, 0, 1)
    whole = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        whole += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    (tmp_path / "a.png").write_bytes(whole)
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, EIGHT)


def test_resolution_of_a_png_or_tiff_is_no_spacing(tmp_path):
    for name in ("a.png", "a.tif", "a.jpg"):
        Image.fromarray(EIGHT).save(tmp_path / name, dpi=(300, 300))
        read(tmp_path / name)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_lossy_and_read_as_pillow_decodes_it(tmp_path, progressive):
    Image.fromarray(EIGHT).save(tmp_path / "a.jpg", quality=90, progressive=progressive)
    radiograph = read(tmp_path / "a.jpg")
    np.testing.assert_array_equal(radiograph.pixels, sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.jpg"))))
    assert radiograph.lossy


def test_nearly_equal_channels_of_a_jpeg_are_gray(tmp_path):
    Image.fromarray(np.stack([EIGHT] * 3, axis=2)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read(tmp_path / "a.jpg").pixels - EIGHT).max() <= 40  # the sharp edges ring
    assert np.abs(read(tmp_path / "a.jpg").pixels - EIGHT).mean() < 2


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_color_is_refused_unless_asked_for(tmp_path, name):
    color = np.stack([EIGHT, EIGHT[::-1], EIGHT[:, ::-1]], axis=2)
    Image.fromarray(color).save(tmp_path / name, quality=95)
    with pytest.raises(RadiographError, match=f"{name}: is a color image"):
        read_radiograph(tmp_path / name)
    pixels = read(tmp_path / name, color="rgb").pixels
    assert pixels.shape == (96, 80, 3)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(tmp_path / name)))


def test_gray_is_repeated_where_color_is_asked_for(tmp_path):
    Image.fromarray(EIGHT).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", color="rgb").pixels, np.stack([EIGHT] * 3, axis=2))


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
@pytest.mark.parametrize("black", [True, False])
def test_cmyk_of_gray(tmp_path, name, black):
    """In black ink alone, or in equal parts of the three others."""
    none = np.zeros_like(EIGHT)
    inks = [none, none, none, 255 - EIGHT] if black else [255 - EIGHT] * 3 + [none]
    image = Image.merge("CMYK", [Image.fromarray(ink) for ink in inks])
    image.save(tmp_path / name, **({"quality": 100, "subsampling": 0} if name == "a.jpg" else {}))
    assert np.abs(read(tmp_path / name).pixels - EIGHT).max() <= (3 if name == "a.jpg" else 0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bits", "sample_format"), [(1, 1), (4, 1), (8, 1), (8, 2), (16, 1), (16, 2), (32, 2), (32, 3)]
)
def test_tiff_of_many_kinds(tmp_path, order, bits, sample_format):
    pixels = (phantom() >> (12 - min(bits, 12))).astype(np.int64)
    if sample_format == 2:
        pixels = pixels - (1 << min(bits, 12) - 1)
    path = write_tiff(tmp_path / "a.tif", pixels, bits, sample_format, order=order)
    np.testing.assert_array_equal(read(path).pixels, pixels)


@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_16_bits_per_channel(tmp_path, channels):
    levels = phantom().astype(np.uint16) * 13
    pixels = np.stack([levels] * 3 + [np.full_like(levels, 65535)] * (channels - 3), axis=2)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, levels)
    content = (tmp_path / "a.tif").read_bytes()
    tag = struct.pack("<HHIHH", 274, 3, 1, 1, 0)  # the orientation
    assert content.count(tag) == 1
    (tmp_path / "a.tif").write_bytes(content.replace(tag, struct.pack("<HHIHH", 274, 3, 1, 6, 0)))
    with pytest.raises(RadiographError, match=r"16 bits per color channel and an EXIF orientation\. Save .* as PNG"):
        read(tmp_path / "a.tif")


def test_tiff_of_planes_of_16_bits_is_refused(tmp_path):
    """SimpleITK would read 8 bits of them."""
    plane, start = np.arange(48, dtype="<u2") * 1000, 176
    size = {256: (3, 1, 8), 257: (3, 1, 6), 258: (3, 3, 146), 259: (3, 1, 1), 262: (3, 1, 2), 273: (4, 3, 152)}
    more = {277: (3, 1, 3), 278: (3, 1, 6), 279: (4, 3, 164), 284: (3, 1, 2), 339: (3, 1, 1)}
    tags = b"".join(struct.pack("<HHII", tag, *value) for tag, value in (size | more).items())
    places = struct.pack("<3H6I", 16, 16, 16, *(start + 96 * n for n in range(3)), 96, 96, 96)
    head = b"II*\0" + struct.pack("<IH", 8, 11) + tags + bytes(4)
    (tmp_path / "a.tif").write_bytes(head + places + plane.tobytes() * 3)
    with pytest.raises(RadiographError, match=r"unusual order\. Save the image as PNG"):
        read(tmp_path / "a.tif")


def test_large_unsigned_tiff(tmp_path):
    pixels = phantom().astype(np.uint32) << 20
    np.testing.assert_array_equal(read(write_tiff(tmp_path / "a.tif", pixels, 32)).pixels, pixels.astype(np.float32))


@pytest.mark.parametrize(
    ("bits", "sample_format", "top"), [(1, 1, 1), (4, 1, 15), (8, 1, 255), (16, 1, 65535), (32, 3, 4095)]
)
def test_tiff_whose_white_is_zero_is_turned_round_once(tmp_path, bits, sample_format, top):
    pixels = (phantom() >> (12 - min(bits, 12))).astype(np.int64)
    path = write_tiff(tmp_path / "a.tif", pixels, bits, sample_format, photometric=0)
    np.testing.assert_array_equal(read(path).pixels, top - pixels)


def test_compressed_tiff(tmp_path):
    Image.fromarray(phantom()).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, phantom())


@pytest.mark.parametrize(("name", "pages"), [("a.tif", "3"), ("a.gif", "several")])
def test_several_pages_are_refused(tmp_path, name, pages):
    others = [Image.fromarray(EIGHT // level) for level in (2, 3)]
    Image.fromarray(EIGHT).save(tmp_path / name, save_all=True, append_images=others)
    with pytest.raises(RadiographError, match=f"has {pages} pages") as error:
        read_radiograph(tmp_path / name)
    assert error.value.code == "frames"


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("order", [1, -1])
def test_gray_gif_of_any_palette_gives_its_colors(tmp_path, interlace, order):
    palette = np.arange(256, dtype=np.uint8)[::order].repeat(3)
    image = Image.fromarray(EIGHT if order == 1 else 255 - EIGHT)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "a.gif", interlace=interlace, optimize=False)
    np.testing.assert_array_equal(read(tmp_path / "a.gif").pixels, EIGHT)
    with Image.open(tmp_path / "a.gif") as image:
        np.testing.assert_array_equal(np.asarray(image.convert("L")), EIGHT)


def test_bombs_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = write_png(tmp_path / "a.png", np.arange(4).reshape(2, 2), 8, 0)
    raw = bytearray(path.read_bytes())
    raw[16:24] = struct.pack(">II", 60000, 60000)
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    path.write_bytes(raw)
    with pytest.raises(RadiographError, match="claims too many pixels; the limit is 100000000 pixels"):
        read_radiograph(path)
    monkeypatch.setattr(image, "MAX_PIXELS", 1000)
    for name in ("a.png", "a.gif", "a.bmp"):
        Image.fromarray(EIGHT).save(tmp_path / name)
        with pytest.raises(RadiographError, match="claims 96 x 80 pixels"):
            read_radiograph(tmp_path / name)


@pytest.mark.slow
def test_large_text_in_a_png_does_no_harm(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 100_000_000, zip=True)
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).save(buffer, "PNG", pnginfo=info)
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    with pytest.raises(RadiographError):
        read_radiograph(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.gif", "a.bmp"])
@pytest.mark.parametrize("keep", [9, 60, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path, name, keep):
    Image.fromarray(EIGHT).save(tmp_path / name)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[: int(keep * len(raw)) if keep < 1 else keep])
    with pytest.raises(RadiographError, match=name):
        read_radiograph(tmp_path / name)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
@pytest.mark.parametrize("keep", [0.5, 0.8, 0.95])
def test_jpeg_whose_rest_is_zeros_is_refused(tmp_path, options, keep):
    """As an interrupted copy leaves it; Pillow alone decodes the zeros. End markers of a thumbnail do not count."""
    thumbnail, whole = io.BytesIO(), io.BytesIO()
    Image.fromarray(EIGHT[:16, :16]).save(thumbnail, "JPEG")
    Image.fromarray(EIGHT).save(whole, "JPEG", exif=b"Exif\0\0" + thumbnail.getvalue(), **options)
    data = whole.getvalue()
    (tmp_path / "a.jpg").write_bytes(data + b"anything")
    np.testing.assert_array_equal(read(tmp_path / "a.jpg").pixels, np.asarray(Image.open(whole)))
    (tmp_path / "a.jpg").write_bytes(data[: int(keep * len(data))].ljust(2 * len(data), b"\0"))
    with pytest.raises(RadiographError, match=r"a\.jpg: .*cut short"):
        read_radiograph(tmp_path / "a.jpg")


@pytest.mark.parametrize("at", [20, -20, -40, 0.3, 0.6, 0.9], ids=str)
def test_png_with_one_wrong_bit_is_refused(tmp_path, at):
    """Wherever the checksums see it; Pillow alone lets some of these pass as other pictures."""
    Image.fromarray(phantom()).save(tmp_path / "a.png")
    damaged = bytearray((tmp_path / "a.png").read_bytes())
    damaged[at if isinstance(at, int) else int(at * len(damaged))] ^= 1
    (tmp_path / "a.png").write_bytes(damaged)
    with pytest.raises(RadiographError, match=r"damaged|not a readable PNG"):
        read_radiograph(tmp_path / "a.png")


def test_constant_picture_is_refused(tmp_path):
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(RadiographError, match="every pixel is 7; nothing to segment"):
        read_radiograph(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([0, 200], np.uint8), [255, 55]),
        (np.array([0, 200], np.uint16), [65535, 65335]),
        (np.array([-5, 200], np.int16), [200, -5]),
        (np.array([0.5, 2.5], np.float32), [2.5, 0.5]),
    ],
)
def test_invert(pixels, expected):
    np.testing.assert_array_equal(invert(pixels), expected)


def test_pages_that_no_file_can_have_are_damage(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).save(buffer, "PNG")
    control = b"acTL" + struct.pack(">II", (1 << 30) - 1, 0)
    control = struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control))
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:33] + control + buffer.getvalue()[33:])
    with pytest.raises(RadiographError, match="has 1073741824 pages") as error:
        read_radiograph(tmp_path / "a.png")
    assert error.value.code == "damaged"


def test_jpeg_that_claims_more_than_it_can_hold_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).save(buffer, "JPEG")
    lie = buffer.getvalue().replace(struct.pack(">HH", 96, 80), struct.pack(">HH", 9000, 9000), 1)
    (tmp_path / "a.jpg").write_bytes(lie)
    with pytest.raises(RadiographError, match="too few for 9000 x 9000 pixels"):
        read_radiograph(tmp_path / "a.jpg")
