import numpy as np
import pytest

from medseg.checks.turns import TURNS, find_opposed, find_turned, is_opposed, measure_agreement

RNG = np.random.default_rng(8)


def draw_set(num_cases, size=24):
    """Pictures of one kind, like no turned one of theirs, each with its own noise."""
    row, column = np.mgrid[:size, :size] / size
    common = np.exp(-((row - 0.3) ** 2 + (column - 0.2) ** 2) * 20) + 0.6 * (row + 2 * column < 1)
    return (common + RNG.normal(0, 0.3, (num_cases, 1, size, size))).astype(np.float32)


def test_turns_are_the_eight_symmetries_of_a_square():
    square = np.arange(9).reshape(3, 3)
    assert len({turn(square).tobytes() for turn in TURNS.values()}) == 8
    assert (TURNS["mirrored"](square)[:, 0] == square[:, 2]).all()
    assert (TURNS["upside down"](square)[0] == square[2]).all()
    assert TURNS["turned by 90 degrees clockwise"](square)[0].tolist() == [6, 3, 0]


@pytest.mark.parametrize("name", list(TURNS)[1:])
@pytest.mark.parametrize("num_turned", [1, 8])
def test_turned_pictures_are_found_and_named(name, num_turned):
    pictures = draw_set(30)
    pictures[:num_turned] = TURNS[name](pictures[:num_turned])
    assert find_turned(pictures) == [name] * num_turned + [None] * (30 - num_turned)


def test_symmetric_pictures_say_nothing():
    pictures = draw_set(30)
    pictures = pictures + sum(turn(pictures) for turn in list(TURNS.values())[1:])
    assert find_turned(pictures + RNG.normal(0, 0.3, pictures.shape).astype(np.float32)) == [None] * 30


def test_noise_and_few_pictures_say_nothing():
    assert find_turned(RNG.normal(size=(40, 1, 16, 16)).astype(np.float32)) == [None] * 40
    assert find_turned(draw_set(7)) == [None] * 7
    assert find_turned(np.zeros((12, 0, 16, 16), np.float32)) == [None] * 12


@pytest.mark.parametrize("num_inverted", [1, 14])
def test_inverted_pictures_are_opposed(num_inverted):
    parts = draw_set(30)
    parts -= parts.mean(axis=(1, 2, 3), keepdims=True)
    parts[:num_inverted] *= -1
    cosines = find_opposed(parts)
    assert cosines is not None
    assert is_opposed(cosines).tolist() == [True] * num_inverted + [False] * (30 - num_inverted)


def test_empty_part_is_not_opposed():
    parts = draw_set(30)
    parts[4] = 0
    cosines = find_opposed(parts)
    assert cosines is not None
    assert cosines[4] == 0


def test_agreement_is_greatest_where_the_contour_lies():
    mask = np.zeros((64, 64), np.float32)
    mask[10:30, 8:20] = 1
    bright = measure_agreement(mask * 0.5, mask)
    assert bright.argmax() == 0
    assert np.allclose(measure_agreement(1 - mask, mask), -bright)
    assert measure_agreement(TURNS["mirrored"](mask), mask).argmax() == list(TURNS).index("mirrored")
    assert not measure_agreement(mask, np.zeros_like(mask)).any()
    assert not measure_agreement(np.zeros_like(mask), mask).any()
