import numpy as np
import pytest

from medseg.checks.gray_levels import measure_gray_levels
from medseg.phantom.chest import draw_phantom


def measure(pixels, padding=None):
    return measure_gray_levels(np.asarray(pixels, np.float32), padding)


@pytest.fixture(scope="module")
def phantom():
    return draw_phantom(np.random.default_rng([3, 1]), 320).pixels.astype(int)


def test_counts_bits_and_extremes():
    levels = measure([[0, 0, 10], [20, 30, 30]])
    assert (levels.count, levels.bits, levels.darkest, levels.brightest) == (4, 2, 2 / 6, 2 / 6)


@pytest.mark.parametrize("slope", [1, 16, 0.37])
def test_steps_are_those_of_the_file_whatever_their_size(slope):
    levels = measure(np.arange(256).reshape(16, 16) * slope - 5)
    assert (levels.count, levels.bits) == (256, 8)


def test_padding_does_not_count():
    pixels = np.full((8, 8), 99)
    pixels[:4] = np.arange(32).reshape(4, 8)
    levels = measure(pixels, pixels == 99)
    assert (levels.count, levels.brightest) == (32, 1 / 32)


def test_flat_borders_are_not_saturated(phantom):
    bordered = np.pad(phantom[40:280, 40:280], 60, constant_values=4095)
    assert measure(bordered).brightest == pytest.approx(measure(phantom[40:280, 40:280]).brightest, abs=0.05)
    assert measure(np.minimum(phantom, 1500)).brightest > 0.4


def test_constant_picture():
    assert measure(np.ones((4, 4))).count == 1


def test_a_radiograph_has_neither_gaps_nor_jumps(phantom):
    for pixels in (phantom, phantom >> 4):
        levels = measure(pixels)
        assert levels.gaps < 0.03
        assert levels.jumps < 0.01


@pytest.mark.parametrize(("factor", "gaps"), [(1.25, 0.2), (2.5, 0.6)])
def test_stretched_contrast_leaves_gaps(phantom, factor, gaps):
    """Of `factor` levels one is occupied."""
    narrow = (phantom * (100 / 4095)).astype(int)
    assert measure((narrow * factor).astype(int)).gaps == pytest.approx(gaps, abs=0.05)


def test_even_steps_are_no_gaps(phantom):
    assert measure((phantom >> 5) * 2).gaps == 0


def test_values_that_run_over_jump(phantom):
    assert measure(phantom % 256).jumps > 0.05


def test_fractions_have_no_gaps():
    levels = measure(np.random.default_rng(0).normal(size=(300, 300)))
    assert (levels.gaps, levels.bits) == (0, 16)


@pytest.mark.slow
def test_large_picture_takes_a_sample():
    pixels = np.tile(np.arange(4000) % 1024, (3000, 1))
    levels = measure(pixels)
    assert levels.bits == 10
    assert levels.count > 200


@pytest.mark.parametrize("least", [1e-40, 4.7e-36, 1e-3])
@pytest.mark.parametrize("greatest", [4095.0, 3e38])
def test_values_of_very_different_size_have_no_gaps(least, greatest):
    pixels = np.linspace(0, greatest, 64 * 64).reshape(64, 64)
    pixels[0, 1] = least
    levels = measure(pixels)
    assert (levels.count, levels.bits, levels.gaps) == (64 * 64, 16, 0)


def test_whole_numbers_beyond_int64_are_measured():
    assert measure(np.arange(64.0).reshape(8, 8) * 2.0**100).count == 64
