"""What an image looks like: every change alone."""

import pytest
import torch
from torch.nn import functional

from medseg.data.appearance import Appearance, interpolate_field, smooth
from medseg.data.config import AugmentConfig

CPU = torch.device("cpu")
STILL = {"gamma": 0, "contrast": 0, "brightness": 0, "noise": 0, "blur": 0, "probability": 1}


def change(images, seed=0, **settings):
    return Appearance(AugmentConfig(**STILL | settings), CPU)(images, seed)


def touched(images, changed):
    return ~torch.isclose(changed, images, atol=1e-6).flatten(1).all(dim=1)


def edge(count=100):
    images = torch.full((count, 1, 64, 64), 0.3)
    images[..., 32:] = 0.7
    return images


def test_without_changes_nothing_is_drawn():
    images = edge(4)
    assert torch.equal(change(images), images)
    assert torch.equal(change(images, probability=0, noise=1), images)


def test_only_the_chosen_images_change():
    images = edge(400)
    changed = change(images, probability=0.25, brightness=0.2)
    assert 0.15 < float(touched(images, changed).float().mean()) < 0.35
    assert torch.equal(images, edge(400))  # the input is not modified


def test_sharpening_overshoots_at_edges_of_a_fifth_of_the_images():
    images = edge()
    changed = change(images, sharpen=1)
    some = touched(images, changed)
    assert 8 < int(some.sum()) < 35
    assert (changed[some].amax(dim=(1, 2, 3)) > 0.7).all()
    assert (changed[some].amin(dim=(1, 2, 3)) < 0.3).all()
    assert changed.max() < 1
    torch.testing.assert_close(changed.mean(), images.mean(), rtol=0.01, atol=0)


def test_blur_is_of_a_third_of_the_images():
    images = edge(300)
    changed = change(images, blur=3)
    assert 0.25 < float(touched(images, changed).float().mean()) < 0.42
    assert changed.min() >= 0.3 - 1e-6


def test_noise_is_mostly_small_and_at_times_as_strong_as_asked_for():
    spread = (change(edge(400), noise=0.3) - edge(400)).flatten(1).std(dim=1)
    assert float(spread.max()) == pytest.approx(0.3, rel=0.1)
    assert float(spread.median()) == pytest.approx(0.3 / 16, rel=0.4)


def test_covers_hide_parts_of_as_many_images_as_asked_for():
    images = edge(300)
    changed = change(images, cover=0.5)
    share = (changed != images).float().mean(dim=(1, 2, 3))
    assert 0.3 < float((share > 0).float().mean()) < 0.6  # borders may be empty
    assert share.max() < 0.5
    assert changed.max() <= 1.3
    assert changed.min() >= -0.1


@pytest.mark.parametrize("shape", [(16, 24), (33, 17), (200, 320)])
def test_every_change_at_once_gives_numbers_at_any_size(shape):
    settings = {
        "gamma": 1, "contrast": 0.5, "brightness": 0.3, "noise": 0.5, "blur": 5, "sharpen": 3,
        "shading": 0.3, "saturate": 0.9, "solarize": 1, "invert": 0.5, "cover": 1,
    }  # fmt: skip
    images = torch.rand(8, 3, *shape, generator=torch.Generator().manual_seed(0))
    for seed in range(30):
        changed = change(images, seed, **settings)
        assert changed.shape == images.shape
        assert changed.isfinite().all()


def test_a_wide_blur_on_a_coarser_grid_is_the_same_blur():
    images = torch.zeros(1, 1, 128, 128)
    images[..., 40:80, 40:80] = 1
    blurred = smooth(images, 8)[0, 0]
    assert float(blurred.sum()) == pytest.approx(1600, rel=0.02)
    spread = float((blurred.sum(dim=1) * (torch.arange(128) - 59.5) ** 2).sum() / blurred.sum())
    assert spread == pytest.approx(40**2 / 12 + 64, rel=0.2)  # 2 standard deviations of the kernel are kept


def test_a_field_is_bicubic_between_its_control_points():
    points = torch.randn(2, 3, 4, 6)
    expected = functional.interpolate(points, (40, 25), mode="bicubic", align_corners=True)
    torch.testing.assert_close(interpolate_field(points, 40, 25), expected, rtol=0, atol=1e-5)
