import numpy as np
import pytest
import torch

from medseg.data.config import PreprocessConfig
from medseg.data.frame import Frame, find_frame, whole
from medseg.data.preprocess import build_input, fit, restore, restore_probabilities

CROP = PreprocessConfig(size=(64, 64), crop="field")


def draw(rows=240, columns=200, top=20, bottom=220, left=60, right=150):
    """A textured field on a flat, dark border, and the mask of a disc in it."""
    image = np.full((rows, columns), 5, np.float32)
    rng = np.random.default_rng(0)
    image[top:bottom, left:right] = rng.normal(100, 30, (bottom - top, right - left))
    y, x = np.mgrid[:rows, :columns]
    return image, (y - 120) ** 2 + (x - 100) ** 2 < 30**2


def test_the_field_is_found_and_a_little_widened():
    frame = find_frame(draw()[0], None)
    assert frame.size == (240, 200)
    assert 14 <= frame.rows[0] <= 20
    assert 220 <= frame.rows[1] <= 226
    assert 56 <= frame.columns[0] <= 60
    assert 150 <= frame.columns[1] <= 154


@pytest.mark.parametrize("step", [2, 4])
def test_a_frame_of_each_second_or_fourth_line_is_that_of_the_image(step):
    assert whole((61, 40)).spread(1, (61, 40)) == whole((61, 40))
    assert whole((16, 10)).spread(4, (61, 40)) == whole((61, 40))
    assert Frame((16, 10), (2, 5), (0, 9)).spread(4, (61, 40)) == Frame((61, 40), (8, 17), (0, 33))
    image, _ = draw(963, 801, 80, 880, 240, 600)
    known, found = find_frame(image, None), find_frame(image[::step, ::step], None).spread(step, (963, 801))
    assert np.abs(np.subtract([found.rows, found.columns], [known.rows, known.columns])).max() <= 2 * step


def test_padding_is_border_too():
    image, _ = draw()
    image[:, :60], image[:, 150:] = np.random.default_rng(1).normal(100, 30, (240, 1)), 90
    padding = np.zeros(image.shape, bool)
    padding[:, :60] = padding[:, 150:] = True
    assert find_frame(image, padding).columns == find_frame(draw()[0], None).columns


@pytest.mark.parametrize(
    "image", [np.zeros((50, 40), np.float32), np.random.default_rng(0).random((50, 40), np.float32)]
)
def test_without_a_border_the_image_is_whole(image):
    assert find_frame(image, None) == whole((50, 40))


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_overexposed_anatomy_is_no_border_but_a_white_frame_is(turned):
    image, _ = draw(right=200, bottom=240, top=0, left=0)
    rows, columns = np.mgrid[:240, :200]
    anatomy, frame = image.copy(), image.copy()
    anatomy[rows > 150 + 40 * np.sin(columns / 25)] = 250
    frame[150:] = 250
    frame[130:150, :120] = 250  # bright anatomy at the frame
    assert find_frame(np.rot90(anatomy, turned), None) == whole(np.rot90(anatomy, turned).shape)
    cut = find_frame(np.rot90(frame, turned), None)
    assert 130 <= max(cut.shape) < 210
    assert np.prod(cut.shape) < 0.7 * frame.size


def test_color_images_have_one_field_for_all_channels():
    image, _ = draw()
    assert find_frame(np.repeat(image[..., None], 3, axis=2), None) == find_frame(image, None)


def test_a_frame_is_the_same_part_at_another_resolution():
    frame = Frame((240, 200), (20, 220), (60, 150))
    assert frame.scale((120, 100)) == Frame((120, 100), (10, 110), (30, 75))
    assert frame.scale((480, 400)).scale((240, 200)) == frame
    assert Frame((100, 100), (50, 51), (99, 100)).scale((3, 3)).shape == (1, 1)


@pytest.mark.parametrize("restoring", ["linear", "nearest"])
def test_masks_come_back_where_they_were_and_larger_than_from_the_whole_image(restoring):
    image, mask = draw()
    config = CROP.model_copy(update={"restore": restoring})
    fitted, frame = build_input(image, None, config)
    assert fitted.shape == (1, 64, 64)
    maps = fit(torch.from_numpy(mask[None].astype(np.uint8)), config, frame)
    assert (maps > 0.5).sum() > 1.2 * (fit(torch.from_numpy(mask[None].astype(np.uint8)), config) > 0.5).sum()
    back = restore(maps, frame, 0.5, config)[0].numpy()
    assert back.shape == mask.shape
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.96
    outside = np.ones(mask.shape, bool)
    outside[frame.part] = False
    assert not restore_probabilities(maps + 0.7, frame, config)[0].numpy()[outside].any()
    assert not restore(maps + 0.7, frame, 0.5, config)[0].numpy()[outside].any()


def test_masks_at_half_the_resolution_are_cut_alike():
    image, mask = draw()
    _, frame = build_input(image, None, CROP)
    half = torch.from_numpy(mask[::2, ::2][None].astype(np.uint8))
    full = fit(torch.from_numpy(mask[None].astype(np.uint8)), CROP, frame) >= 0.5
    assert ((fit(half, CROP, frame) >= 0.5) ^ full).sum() < 0.1 * full.sum()


def test_a_model_without_a_crop_says_nothing_of_it():
    assert "crop" not in PreprocessConfig().model_dump(mode="json")
    assert CROP.model_dump(mode="json")["crop"] == "field"
