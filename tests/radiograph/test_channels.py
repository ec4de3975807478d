import numpy as np
import pytest
from PIL import Image

from medseg.errors import RadiographError
from medseg.radiograph import read_label_image, read_radiograph
from medseg.radiograph.channels import merge_channels
from tests.support.dicom_files import phantom
from tests.support.raster_files import write_png

EIGHT = (phantom() >> 4).astype(np.uint8).clip(0, 200)
MASK = phantom() > 2000
WHITE, ALPHA = np.full(MASK.shape, 255, np.uint8), np.where(MASK, 255, 0).astype(np.uint8)


def colored(share, by):
    """A gray image whose blue channel is brighter on a share of its pixels, from the top."""
    image = np.stack([EIGHT] * 3, axis=2)
    image.reshape(-1, 3)[: round(share * EIGHT.size), 2] += by
    return image


def save(path, *channels):
    Image.fromarray(np.stack(channels, axis=2).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("share", "by"), [(1, 1), (1, 16), (0.019, 55), (0.0199, 17)])
def test_nearly_gray_image_is_taken_as_gray_with_a_warning(tmp_path, share, by):
    path = tmp_path / "a.png"
    Image.fromarray(colored(share, by)).save(path)
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, EIGHT)
    warning = f"a nearly gray image was read as grayscale; its channels differ by up to {by} (on a scale from 0 to 255)"
    assert radiograph.warnings == (warning,)
    with pytest.raises(
        RadiographError,
        match=rf"differ by up to {by} \(on a scale from 0 to 255\)\. Convert the image to grayscale",
    ):
        read_radiograph(path, color="refuse")
    assert read_label_image(path).is_color


@pytest.mark.parametrize(("share", "by"), [(1, 17), (0.021, 17)])
def test_color_image_is_refused_and_told_how_to_go_on(tmp_path, share, by):
    Image.fromarray(colored(share, by)).save(tmp_path / "a.png")
    text = rf"a\.png: is a color image: .* 16 \(.*255\) in {share:.1%} of its pixels\. Convert .*data\.color=rgb"
    with pytest.raises(RadiographError, match=text) as error:
        read_radiograph(tmp_path / "a.png")
    assert error.value.code == "color"


@pytest.mark.parametrize("color", ["grey", "refuse"])
def test_channels_of_a_jpeg_that_rounding_parts_are_gray_without_a_word(color):
    pixels, warnings = np.array([[[10, 12, 13], [0, 0, 0]]], np.uint8), []
    np.testing.assert_array_equal(merge_channels(pixels, 3, color, warnings), [[12, 0]])
    assert warnings == []


@pytest.mark.parametrize(
    ("top", "by", "gray"), [(65535, 4112, True), (65535, 4113, False), (4095, 256, True), (4095, 260, False)]
)
def test_tolerance_grows_with_the_bits_that_are_used(tmp_path, top, by, gray):
    image = np.stack([phantom() * (top // 4095)] * 3, axis=2)
    image[:, :, 1] -= np.minimum(image[:, :, 1], by)
    path = write_png(tmp_path / "a.png", image, 16, 2)
    if gray:
        np.testing.assert_array_equal(read_radiograph(path).pixels, image[:, :, 0])
    else:
        with pytest.raises(RadiographError, match="is a color image"):
            read_radiograph(path)


@pytest.mark.parametrize(
    "channels",
    [
        (WHITE, WHITE, WHITE),
        (WHITE * 0, WHITE * 0, WHITE * 0),
        (WHITE, WHITE * 0, WHITE * 0),
        (WHITE,),
        (np.where(MASK, 0, 255),) * 3,  # black strokes, white where nothing is seen
        (np.where(MASK, 255, 0), WHITE * 0, WHITE * 0),  # red strokes, black where nothing is seen
        (np.where(MASK, 255, EIGHT),) * 3,  # the image itself stays hidden
    ],
    ids=["white", "black", "red", "gray", "black on hidden white", "red on hidden black", "white on hidden image"],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_mask_that_only_the_alpha_channel_shows(tmp_path, channels, bits):
    pixels = np.stack([*channels, ALPHA], axis=2).astype(np.uint16) * (257 if bits == 16 else 1)
    label = read_label_image(write_png(tmp_path / "a.png", pixels, bits, 6 if len(channels) == 3 else 4))
    np.testing.assert_array_equal(label.values > 0, MASK)
    np.testing.assert_array_equal(label.values, pixels[:, :, -1])
    assert label.warnings == ("the mask was read from the alpha channel, since the other channels do not show it",)


def test_soft_strokes_keep_their_alpha_whatever_color_an_editor_rounds_to(tmp_path):
    soft = np.where(MASK, 255, 0) - np.where(np.roll(MASK, 1) & MASK, 0, 1) * np.where(MASK, 250, 0)
    painted = np.where(soft, np.where(soft > 100, 255, 204), 0)
    for name, others in {"red": soft * 0, "white": painted}.items():
        label = read_label_image(save(tmp_path / f"{name}.png", painted, others, others, soft))
        np.testing.assert_array_equal(label.values, soft)


@pytest.mark.parametrize(("alpha", "level"), [(0, 0), (128, 128)])
def test_one_color_and_one_alpha(tmp_path, alpha, level):
    label = read_label_image(save(tmp_path / "a.png", WHITE, WHITE, WHITE, np.full(MASK.shape, alpha)))
    assert (label.values == level).all()


@pytest.mark.parametrize("alpha", [WHITE, ALPHA, EIGHT], ids=["opaque", "as the mask", "of its own"])
def test_mask_that_the_colors_show_is_read_as_before(tmp_path, alpha):
    gray = np.where(MASK, 2, 0)
    label = read_label_image(save(tmp_path / "a.png", gray, gray, gray, alpha))
    np.testing.assert_array_equal(label.values, gray)


def test_full_and_opaque_mask_is_that_of_its_color(tmp_path):
    assert (read_label_image(save(tmp_path / "a.png", WHITE, WHITE, WHITE, WHITE)).values == 255).all()


def test_alpha_of_an_image_is_no_image(tmp_path):
    with pytest.raises(RadiographError, match="every pixel is 255; nothing to segment"):
        read_radiograph(save(tmp_path / "a.png", WHITE, WHITE, WHITE, ALPHA))


@pytest.mark.parametrize(
    ("palette", "transparent", "values"),
    [
        ([(255, 255, 255)] * 2, [0, 255], [0, 255]),  # transparency alone tells them apart
        ([(9, 9, 9)] * 2, [255, 0], [255, 0]),
        ([(0, 0, 0), (255, 0, 0)], [0, 255], [0, 1]),  # a label map on a transparent background
        ([(0, 0, 0), (255, 0, 0)], [255, 255], [0, 1]),
        ([(255, 255, 255), (0, 0, 0)], [], [1, 0]),  # white is foreground
        ([(255, 0, 0), (0, 0, 0)], [], [1, 0]),  # as quantizing orders red on black
        ([(200, 200, 200), (0, 0, 0)], [], [1, 0]),
        ([(255, 0, 0), (0, 0, 0)], [255, 0], [255, 0]),
        ([(255, 0, 0), (255, 255, 255)], [255, 0], [255, 0]),
        ([(255, 0, 0), (0, 255, 0)], [], [0, 1]),
        ([(0, 0, 0), (255, 255, 255)], [], [0, 1]),
        ([(0, 0, 0), (255, 255, 255), (9, 9, 9)], [], [0, 1]),
        ([(255, 255, 255), (0, 0, 0), (9, 0, 0)], [], [0, 1]),
        ([(255, 255, 255), (0, 0, 0)], [0, 255], [0, 255]),  # black strokes on transparent white
        ([(0, 0, 0), (255, 255, 255)], [0, 255], [0, 1]),
        ([(0, 0, 0)], [], [0, 1]),  # an index beyond the palette
    ],
)
def test_palette_png(tmp_path, palette, transparent, values):
    chunks = {"PLTE": bytes(sum(palette, ()))} | ({"tRNS": bytes(transparent)} if transparent else {})
    path = write_png(tmp_path / "a.png", MASK.astype(np.uint8), 8, 3, **chunks)
    np.testing.assert_array_equal(read_label_image(path).values, np.array(values)[MASK.astype(int)])


@pytest.mark.parametrize(
    ("levels", "key", "values"), [([255, 0], 255, [0, 255]), ([0, 2], 0, [0, 2]), ([7, 9], 1, [7, 9])]
)
def test_gray_png_with_one_transparent_level(tmp_path, levels, key, values):
    pixels = np.array(levels)[MASK.astype(int)]
    path = write_png(tmp_path / "a.png", pixels, 8, 0, tRNS=bytes([0, key]))
    np.testing.assert_array_equal(read_label_image(path).values, np.array(values)[MASK.astype(int)])


@pytest.mark.parametrize(
    ("palette", "values"),
    [
        ([(0, 0, 0), (255, 255, 255)], [0, 255]),
        ([(255, 255, 255), (0, 0, 0)], [255, 0]),
        ([(7, 7, 7), (2, 2, 2), (255, 0, 0)], [7, 2]),  # of a color that is not used
        ([(0, 0, 0), (255, 0, 0)], [0, 1]),
        ([(255, 0, 0), (0, 0, 0)], [1, 0]),
    ],
)
@pytest.mark.parametrize("suffix", ["gif", "bmp"])
def test_palette_gif_and_bmp_give_gray_levels_and_else_indices(tmp_path, suffix, palette, values):
    image = Image.fromarray(MASK.astype(np.uint8))
    image.putpalette(bytes(sum(palette, ())))
    image.save(tmp_path / f"a.{suffix}", **({"optimize": False} if suffix == "gif" else {}))
    np.testing.assert_array_equal(read_label_image(tmp_path / f"a.{suffix}").values, np.array(values)[MASK.astype(int)])
