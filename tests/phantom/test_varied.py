"""Chests that vary more than real ones."""

import numpy as np
import pytest

from medseg.data.config import DataConfig
from medseg.data.synthetic import find_data
from medseg.phantom.chest import MAXIMUM, draw_phantom
from medseg.phantom.config import PhantomConfig
from medseg.phantom.varied import CLASSES, draw_varied_phantom

SIZE = 96


def draw(index):
    return draw_varied_phantom(np.random.default_rng([7, index]), SIZE)


@pytest.fixture(scope="module")
def phantoms():
    return [draw(index) for index in range(24)]


def test_every_structure_is_there(phantoms):
    for phantom in phantoms:
        assert tuple(phantom.masks) == CLASSES
        assert all(mask.dtype == np.bool_ and mask.shape == phantom.view.shape for mask in phantom.masks.values())
        assert phantom.masks["lungs"].any()
        assert phantom.masks["body"].mean() > 0.2
        assert np.array_equal(phantom.masks["lungs"], phantom.masks["left_lung"] | phantom.masks["right_lung"])
        assert 0 <= phantom.pixels.min() < phantom.pixels.max() <= MAXIMUM
    for name in CLASSES:
        assert sum(phantom.masks[name].any() for phantom in phantoms) > 20


def test_the_right_lung_is_on_the_left_of_the_image(phantoms):
    for phantom in phantoms:
        right, left = (np.nonzero(phantom.masks[name])[1].mean() for name in ("right_lung", "left_lung"))
        assert right < left


def test_they_vary_more_than_the_others(phantoms):
    plain = [draw_phantom(np.random.default_rng([7, index]), SIZE) for index in range(24)]
    for spread in (
        lambda phantom: phantom.masks["heart"].sum() / phantom.masks["lungs"].sum(),
        lambda phantom: phantom.pixels[phantom.masks["lungs"]].mean(),
    ):
        assert np.std([spread(phantom) for phantom in phantoms]) > 1.3 * np.std([spread(phantom) for phantom in plain])


def test_the_same_seed_gives_the_same_phantom(phantoms):
    again = draw(3)
    assert np.array_equal(again.pixels, phantoms[3].pixels)
    assert all(np.array_equal(again.masks[name], phantoms[3].masks[name]) for name in CLASSES)
    assert not np.array_equal(again.pixels, phantoms[4].pixels)


def test_as_files_they_are_a_data_set_of_their_own(tmp_path):
    found = find_data(DataConfig(), PhantomConfig(kind="varied", num_cases=2, size=64), tmp_path)
    assert found.root == tmp_path / "varied"
    assert sorted(path.name for path in (found.root / "images").iterdir()) == ["varied-0000.dcm", "varied-0001.dcm"]
    assert sorted(path.name for path in (found.root / "masks").iterdir()) == list(CLASSES)
