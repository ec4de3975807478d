"""The borders of a batch of images are those that `medseg.data.frame` finds in each of them."""

import numpy as np
import pytest
import torch

from medseg.data import frame
from medseg.export.field import choose_lines, find_field, find_frame, sample, take_percentiles
from medseg.phantom.chest import draw_phantom


def draw_images() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    chest = draw_phantom(rng, 620).pixels.astype(np.float32)
    collimated = chest.copy()
    collimated[:90], collimated[:, :110], collimated[-50:] = 0, 4095, 100
    white = chest.copy()
    white[-120:] = white.max()
    slanted = chest.copy()  # overexposed anatomy has no straight edge
    for column in range(slanted.shape[1]):
        slanted[480 + column // 8 :, column] = slanted.max()
    noise = rng.normal(size=chest.shape).astype(np.float32)
    return [chest, collimated, white, np.full_like(chest, 7), noise, slanted]


@pytest.mark.parametrize("step", [1, 3])
def test_the_field_of_each_image_of_a_batch(step):
    images = [np.ascontiguousarray(image[::step, ::step]) for image in draw_images()]
    padding = [np.zeros(image.shape, bool) for image in images]
    padding[0][:, :100], padding[3][:] = True, True
    batch, valid = torch.from_numpy(np.stack(images)), torch.from_numpy(~np.stack(padding))
    fields, frames = find_field(batch, valid), find_frame(batch, valid)
    for index, image in enumerate(images):
        rows, columns = frame.find_field(image, ~padding[index])
        height, width = image.shape
        expected = [lines.indices(length)[:2] for lines, length in ((rows, height), (columns, width))]
        assert [tuple(lines[index].tolist()) for lines in fields] == expected
        found = frame.find_frame(image, padding[index])
        assert [tuple(lines[index].tolist()) for lines in frames] == [found.rows, found.columns]
    assert frames[0][1].tolist() != [0, images[1].shape[0]]  # there is something to find


@pytest.mark.parametrize("count", [1, 2, 17])
def test_percentiles_of_some_values(count):
    values = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    counted = np.zeros(values.shape, bool)
    counted[:, :count] = True
    found = take_percentiles(torch.from_numpy(values), torch.from_numpy(counted), torch.tensor([0.0, 30.0, 100.0]))
    expected = np.percentile(values[:, :count], [0, 30, 100], axis=1).T
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_no_value_at_all_has_no_percentile():
    found = take_percentiles(torch.ones(2, 5), torch.zeros(2, 5, dtype=torch.bool), torch.tensor([50.0]))
    assert found.tolist() == [[0.0], [0.0]]


def test_samples_are_every_third_line():
    maps = torch.arange(70.0).reshape(1, 7, 10)
    step, *lines = choose_lines(maps, 2)
    assert step == 3
    assert torch.equal(sample(maps, *lines), maps[:, ::3, ::3])
