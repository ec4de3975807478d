import numpy as np
import pytest
import SimpleITK
import torch
from torch.nn import functional

from medseg.data.bilinear import cut_bilinear, resize_bilinear

SIZES = [((16, 16), (40, 33)), ((31, 17), (300, 100)), ((24, 24), (24, 24)), ((40, 50), (13, 11)), ((1, 1), (5, 7))]


def draw_maps(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth maps in [0, 1] with areas of exactly 0 and 1, as a network gives them; one of chance."""
    rng = torch.Generator().manual_seed(seed)
    smooth = functional.interpolate(torch.randn(1, 2, 4, 4, generator=rng) * 9, shape, mode="bicubic")[0].sigmoid()
    smooth[smooth < 0.1], smooth[smooth > 0.9] = 0, 1
    return torch.cat([smooth, torch.rand(1, *shape, generator=rng)]).numpy()


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_values_are_those_of_torch_but_for_its_last_bits(shape, size):
    maps = draw_maps(shape)
    expected = functional.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear")[0].numpy()
    assert np.abs(resize_bilinear(maps, size) - expected).max() <= 2**-22


def test_values_are_those_of_another_library():
    maps = draw_maps((20, 30))
    image = SimpleITK.GetImageFromArray(maps[0])
    identity = SimpleITK.Transform()
    resampled = SimpleITK.Resample(
        image, (90, 50), identity, SimpleITK.sitkLinear, (30 / 90 / 2 - 0.5, 20 / 50 / 2 - 0.5), (30 / 90, 20 / 50)
    )
    inside = np.s_[2:-2, 2:-2]
    found = resize_bilinear(maps, (50, 90))[0]
    assert np.allclose(found[inside], SimpleITK.GetArrayFromImage(resampled)[inside], atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_what_is_cut_is_what_was_resized(shape, size, seed):
    maps = draw_maps(shape, seed)
    limits = np.array([0.5, maps[1].max(), maps[2].mean()], np.float32)
    expected = resize_bilinear(maps, size) >= limits[:, None, None]
    assert np.array_equal(cut_bilinear(maps, size, limits), expected)


def test_maps_at_the_limit_are_foreground_and_those_below_are_not():
    maps = np.stack([np.full((8, 8), level, np.float32) for level in (0.5, 0.4999, 0)])
    masks = cut_bilinear(maps, (30, 20), np.full(3, 0.5, np.float32))
    assert masks.reshape(3, -1).mean(axis=1).tolist() == [1, 0, 0]


def test_threads_change_no_bit():
    maps, threads = draw_maps((64, 64)), torch.get_num_threads()
    resized = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            resized.append(resize_bilinear(maps, (500, 500)))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(*resized)
