import io

import numpy as np
import pytest
from PIL import Image

from medseg.data.preview import make_preview, resize


@pytest.mark.parametrize(("shape", "expected"), [((512, 384), (256, 192)), ((100, 80), (100, 80))])
def test_preview_holds_the_picture_and_its_masks(shape, expected):
    row = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    view = np.repeat(row, shape[1], axis=1)
    masks = np.stack([view > 0.5, view < 0.25])
    preview = make_preview(view, masks)
    picture = np.asarray(Image.open(io.BytesIO(preview.jpeg)))
    assert picture.shape == expected
    assert np.allclose(picture[:, 3] / 255, resize(view, expected)[:, 3], atol=0.02)
    assert preview.masks().shape == (2, *expected)
    assert preview.masks()[0].mean() == pytest.approx(0.5, abs=0.01)
    assert preview.masks()[1].mean() == pytest.approx(0.25, abs=0.01)


def test_preview_without_classes():
    assert make_preview(np.zeros((20, 20), np.float32), np.zeros((0, 20, 20), np.bool_)).masks().shape == (0, 20, 20)


def test_preview_is_small():
    view = np.random.default_rng(0).random((512, 512), np.float32) * 0.1 + 0.4
    preview = make_preview(view, np.zeros((3, 512, 512), np.bool_))
    assert len(preview.jpeg) + len(preview.packed) < 30_000
