import time

import numpy as np
import pytest
import SimpleITK
import torch
from monai.data.meta_tensor import MetaTensor
from scipy import ndimage

from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.frame import take_percentiles, whole
from medseg.data.preprocess import (
    build_input,
    count_halvings,
    equalize,
    fit,
    locate_pixels,
    measure_range,
    restore,
    restore_probabilities,
    scale_intensity,
)
from medseg.data.transforms import build_fitting
from medseg.phantom.chest import draw_phantom

EQUALIZED = PreprocessConfig(size=(64, 64), equalize=True)
PERCENTILES = PreprocessConfig()
FIXED = PreprocessConfig(intensity="fixed", range=(10, 20))


@pytest.fixture(scope="module")
def chest():
    return draw_phantom(np.random.default_rng([3, 1]), 320).pixels.astype(np.float32)


def draw_disc(rows, columns, row, column, radius):
    y, x = np.mgrid[:rows, :columns]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def test_fixed_range_is_linear_and_clipped():
    pixels = np.array([[0, 10], [15, 30]], np.float32)
    assert scale_intensity(pixels, None, FIXED).tolist() == [[0, 0], [0.5, 1]]


def draw_cloud(rows, columns, sigma=9.0):
    """A smooth image: all of it is known from each fourth row and column."""
    noise = np.random.default_rng(5).normal(size=(rows, columns))
    return (1000 * ndimage.gaussian_filter(noise, sigma)).astype(np.float32)


@pytest.mark.parametrize("fitted", ["pad", "stretch"])
@pytest.mark.parametrize("shape", [(640, 480), (643, 481), (501, 702)])
def test_samples_of_an_image_are_seen_where_they_lie(fitted, shape):
    config, image = PreprocessConfig(size=(48, 40), fit=fitted, crop="none"), draw_cloud(*shape)
    whole_input, frame = build_input(image, None, config)
    found, own = build_input(image[::4, ::4], None, config, 4, shape)
    aside, _ = build_input(image[::4, ::4], None, config)  # as if the image began half a sample further up and left
    assert own == frame
    assert (found - whole_input).abs().max() < 0.02
    assert (aside - whole_input).abs().max() > 0.05


def test_samples_of_the_field_are_seen_where_they_lie():
    config, image = PreprocessConfig(size=(48, 40), crop="field"), np.zeros((803, 701), np.float32)
    image[101:702, 153:554] = draw_cloud(601, 401) + 200
    found, own = build_input(image[::4, ::4], None, config, 4, image.shape)
    assert own.size == image.shape
    assert own != whole(image.shape)
    shown = (fit(torch.from_numpy(scale_intensity(image, None, config))[None], config, own) - found).abs()
    assert shown.mean() < 0.01


def test_an_image_is_halved_while_two_pixels_are_left_for_each_of_the_network():
    padded, stretched = PreprocessConfig(size=(256, 256), fit="pad"), PreprocessConfig(size=(256, 256), fit="stretch")
    assert [count_halvings((side, side), padded) for side in (200, 1023, 1024, 2047, 2048, 4096)] == [0, 0, 1, 1, 2, 3]
    assert count_halvings((2048, 1000), padded) == 2
    assert count_halvings((2048, 1000), stretched) == 0


def test_percentiles_become_zero_and_one():
    pixels = np.random.default_rng(0).normal(1000, 200, (200, 300)).astype(np.float32)
    low, high = np.percentile(pixels, (5, 95))
    scaled = scale_intensity(pixels, None, PreprocessConfig(percentiles=(5, 95)))
    assert np.allclose(scaled, np.clip((pixels - low) / (high - low), 0, 1), atol=1e-6)
    assert scaled.dtype == np.float32


def test_least_and_greatest_of_the_article():
    pixels = np.random.default_rng(0).integers(3, 200, (100, 90)).astype(np.float32)
    assert measure_range(pixels, None, (0, 100)) == (pixels.min(), pixels.max())


@pytest.mark.parametrize("gain", [1e-6, 0.01, -1, 7, 1e30])
def test_scale_and_offset_of_the_values_do_not_matter(chest, gain):
    scaled = scale_intensity((chest * gain).astype(np.float32), None, PERCENTILES)
    expected = scale_intensity(chest, None, PERCENTILES)
    assert np.allclose(scaled, 1 - expected if gain < 0 else expected, atol=1e-4)


@pytest.mark.parametrize("level", ["white", "black", "noise"])
@pytest.mark.parametrize("marker", [False, True])
def test_border_and_marker_change_the_inside_by_little(chest, level, marker):
    chest = 1000 + chest[60:260, 60:260] / 2  # no air, no lead: borders are darker and brighter than all of it
    expected = scale_intensity(chest, None, PERCENTILES)
    changed, mark = chest.copy(), (slice(10, 30), slice(10, 20))
    if marker:
        changed[mark] = 4095
    changed = np.pad(changed, 20, constant_values={"white": 4095, "black": 0, "noise": 100}[level])
    if level == "noise":
        inside = np.pad(np.ones(chest.shape, bool), 20)
        changed += np.where(inside, 0, np.random.default_rng(0).normal(0, 10, changed.shape)).astype(np.float32)
    difference = np.abs(scale_intensity(changed, None, PERCENTILES)[20:-20, 20:-20] - expected)
    if marker:
        difference[mark] = 0
    assert difference.max() < 0.03
    low, high = np.percentile(changed, (1, 99))  # what the border does to percentiles of the whole picture
    naive = np.clip((changed - low) / (high - low), 0, 1)[20:-20, 20:-20]
    assert np.abs(naive - expected).mean() > 0.1


def test_padding_is_black_and_counts_for_nothing(chest):
    padding = np.zeros(chest.shape, bool)
    padding[:, :100] = True
    changed = np.where(padding, 60_000, chest).astype(np.float32)
    scaled = scale_intensity(changed, padding, PERCENTILES)
    assert (scaled[padding] == 0).all()
    assert np.allclose(scaled[:, 100:], scale_intensity(chest[:, 100:], None, PERCENTILES), atol=0.02)


def test_padding_everywhere_on_the_sampled_grid():
    pixels = np.random.default_rng(0).random((1100, 1100)).astype(np.float32)
    padding = np.zeros(pixels.shape, bool)
    padding[::2, ::2] = True
    assert np.isfinite(scale_intensity(pixels, padding, PERCENTILES)).all()


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 50), (3, 3), (17, 5000), (5, 4, 3)])
def test_odd_shapes(shape):
    pixels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    scaled = scale_intensity(pixels, None, PERCENTILES)
    assert scaled.shape == shape
    assert scaled.min() == 0
    assert scaled.max() == 1


@pytest.mark.parametrize("kind", ["one bright pixel", "two values", "huge", "tiny", "flat"])
def test_never_a_nan(kind):
    pixels = np.zeros((64, 64), np.float32)
    if kind == "one bright pixel":
        pixels[5, 5] = 1
    elif kind == "two values":
        pixels[:, 32:] = 7
    elif kind == "huge":
        pixels[:, 32:], pixels[:, :32] = 3e38, -3e38
    elif kind == "tiny":
        pixels[:, 32:] = 1e-45
    scaled = scale_intensity(pixels, None, PERCENTILES)
    assert np.isfinite(scaled).all()
    assert (scaled.min(), scaled.max()) == (0, 0 if kind == "flat" else 1) or kind == "tiny"


@pytest.mark.parametrize("channels", [1, 3])
def test_input_of_the_network_is_what_the_transforms_of_training_make(chest, channels):
    """Value for value; `padding` is left out of the levels in both."""
    pixels = chest if channels == 1 else np.stack([chest, chest / 2, 4095 - chest], axis=2)
    padding = np.zeros(chest.shape, bool)
    padding[:40] = True
    config = PreprocessConfig(size=(96, 64))
    item = {
        "image": MetaTensor(pixels[None] if channels == 1 else np.moveaxis(pixels, -1, 0), meta={"padding": padding})
    }
    expected = build_fitting(DataConfig(), config)(item)["image"].as_tensor()
    built, _ = build_input(pixels, padding, config)
    assert built.shape == (channels, 96, 64)
    assert built.dtype == torch.float32
    assert torch.equal(built, expected)
    assert not torch.equal(built, build_input(pixels, None, config)[0])


def test_pad_keeps_the_aspect_ratio_and_centers():
    fitted = fit(torch.ones(1, 100, 200), PreprocessConfig(size=(64, 64)))
    assert fitted.shape == (1, 64, 64)
    assert fitted[0].sum(dim=0).round().tolist() == [32] * 64
    assert fitted[0].sum(dim=1).round().tolist() == [0] * 16 + [64] * 32 + [0] * 16


def test_stretch_fills_all():
    fitted = fit(torch.ones(1, 100, 200), PreprocessConfig(size=(64, 48), fit="stretch"))
    assert fitted.shape == (1, 64, 48)
    assert torch.allclose(fitted, torch.ones(1))


@pytest.mark.slow
@pytest.mark.parametrize("fitting", ["pad", "stretch"])
@pytest.mark.parametrize("way", ["linear", "nearest"])
@pytest.mark.parametrize("size", [(2000, 1500), (1500, 2000), (900, 900), (100, 130), (3000, 400)])
def test_mask_comes_back_where_it_was(size, way, fitting):
    config = PreprocessConfig(size=(256, 256), fit=fitting, restore=way)
    rows, columns = size
    disc = draw_disc(rows, columns, 0.4 * rows, 0.6 * columns, 0.2 * min(size))
    small = fit(torch.from_numpy(disc)[None], config)
    back = restore(small, whole(size), 0.5, config)[0].numpy()
    limit = 0.5 + (max(size) / 512 if way == "nearest" else 0)  # the article's way costs half a network pixel
    assert 2 * (disc & back).sum() / (disc.sum() + back.sum()) > (0.98 if way == "linear" else 0.96)
    assert np.abs(np.subtract(ndimage.center_of_mass(disc), ndimage.center_of_mass(back))).max() < limit


def test_resize_agrees_with_another_library():
    """SimpleITK's linear interpolation at the pixel centers that `locate_pixels` names, of a smooth image."""
    y, x = np.mgrid[:200, :300]
    picture = (np.sin(y / 25) + np.cos(x / 30)).astype(np.float32)
    config = PreprocessConfig(size=(128, 128))
    matrix = locate_pixels(whole(picture.shape), config).numpy()
    image = SimpleITK.GetImageFromArray(picture)
    resampled = SimpleITK.Resample(
        image,
        (128, 128),
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        (matrix[1, 3], matrix[0, 3]),
        (matrix[1, 1], matrix[0, 0]),
    )
    expected = SimpleITK.GetArrayFromImage(resampled)
    fitted = fit(torch.from_numpy(picture)[None], config)[0].numpy()
    inside = expected != 0
    assert inside.mean() > 0.6
    assert np.abs(fitted - expected)[ndimage.binary_erosion(inside, iterations=2)].max() < 0.01


def test_nearest_takes_the_pixel_that_opencv_takes():
    """cv2.INTER_NEAREST: source index floor(destination index * source size / destination size)."""
    config = PreprocessConfig(size=(16, 16), fit="stretch", restore="nearest")
    maps = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    rows, columns = np.arange(37) * 16 // 37, np.arange(50) * 16 // 50
    expected = maps[0].numpy()[np.ix_(rows, columns)]
    assert np.array_equal(restore_probabilities(maps, whole((37, 50)), config)[0].numpy(), expected)
    assert np.array_equal(restore(maps, whole((37, 50)), 0.5, config)[0].numpy(), expected >= 0.5)


def test_probability_at_the_threshold_is_foreground():
    config = PreprocessConfig(size=(16, 16))
    maps = torch.stack([torch.full((16, 16), 0.5), torch.full((16, 16), 0.7)])
    frame = whole((16, 16))
    assert restore(maps, frame, 0.5, config).all()
    assert restore(maps, frame, torch.tensor([0.6, 0.6]), config).flatten(1).any(dim=1).tolist() == [False, True]


def test_probabilities_of_linear_restoring_are_what_is_cut():
    config = PreprocessConfig(size=(32, 32))
    maps = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0))
    frame = whole((90, 70))
    assert torch.equal(restore(maps, frame, 0.3, config), restore_probabilities(maps, frame, config) >= 0.3)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (60, 41), (333, 90)])
def test_percentiles_of_float32_are_numpys_of_float64(shape, axis):
    rng = np.random.default_rng(0)
    for values in (rng.normal(0, 1e4, shape), rng.integers(0, 9, shape)):
        found = take_percentiles(values.astype(np.float32), (1, 10, 37.5, 99), axis)
        assert np.array_equal(found, np.percentile(values.astype(np.float32).astype(float), (1, 10, 37.5, 99), axis))
        line = take_percentiles(values.astype(np.float32).ravel(), (5, 95), 0)
        assert np.array_equal(line, np.percentile(values.astype(np.float32).astype(float), (5, 95)))


def test_a_picture_is_scaled_by_parts_as_in_one():
    pixels = np.random.default_rng(0).normal(1000, 300, (700, 650)).astype(np.float32)
    low, high = measure_range(pixels, None, PERCENTILES.percentiles)
    expected = np.clip((pixels.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)
    assert np.array_equal(scale_intensity(pixels, None, PERCENTILES), expected)


def test_large_picture_takes_a_fraction_of_a_second():
    pixels = np.random.default_rng(0).normal(2000, 500, (2000, 2500)).astype(np.float32)
    times = []
    for _ in range(4):
        began = time.process_time()
        fit(torch.from_numpy(scale_intensity(pixels, None, PERCENTILES))[None], PERCENTILES)
        times.append(time.process_time() - began)
    assert min(times) < 0.5  # alone on the machine: 0.07 s


def test_equalized_levels_cover_the_same_area(chest):
    image, _ = build_input(chest, None, EQUALIZED)
    gray = image[(image > 0.05) & (image < 0.95)].numpy()
    shares = np.histogram(gray, bins=9, range=(0.05, 0.95))[0] / gray.size
    assert shares == pytest.approx(np.full(9, 1 / 9), abs=0.02)


@pytest.mark.parametrize("exponent", [0.5, 2.0])
def test_equalized_images_do_not_know_their_gamma(chest, exponent):
    low, high = chest.min(), chest.max()
    bent = (((chest - low) / (high - low)) ** exponent * (high - low)).astype(np.float32)
    expected, found = (build_input(image, None, EQUALIZED)[0] for image in (chest, bent))
    plain = build_input(bent, None, EQUALIZED.model_copy(update={"equalize": False}))[0]
    before = build_input(chest, None, EQUALIZED.model_copy(update={"equalize": False}))[0]
    assert (found - expected).abs().mean() < 0.2 * (plain - before).abs().mean()


def test_equalizing_keeps_black_white_and_their_order():
    ramp = torch.linspace(0, 1, 4096).reshape(1, 64, 64) ** 3
    levels = equalize(ramp).flatten()
    assert (levels[0], levels[-1]) == (0, 1)
    assert (levels.diff() >= 0).all()
    blank = torch.zeros(1, 64, 64)
    assert torch.equal(equalize(blank), blank)
