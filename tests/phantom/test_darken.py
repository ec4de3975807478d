"""Pairs of a color image and its darkened version."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from medseg.errors import DataError
from medseg.phantom.darken import darken, draw_darkened_pair, write_darkened_pairs
from medseg.phantom.dicom import write_phantoms


def draw(seed, index, size=96):
    return draw_darkened_pair(np.random.default_rng([seed, index]), size)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.png")}


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((255, 255, 255), (255, 255, 255)),  # a highlight stays
        ((220, 220, 220), (220, 220, 220)),  # luminance 0.863, above 0.85
        ((100, 100, 100), (25, 25, 25)),  # the rest to a quarter
        ((40, 120, 200), (10, 30, 50)),  # luminance 0.427: hue stays
        ((255, 0, 0), (64, 0, 0)),  # full red has luminance 0.213
        ((0, 255, 0), (0, 174, 0)),  # luminance 0.7152: t = 0.55067, t^2 (3 - 2t) = 0.57574, gain = 0.68181
    ],
)
def test_values_worked_out_by_hand(color, expected):
    picture = np.full((4, 6, 3), color, dtype=np.uint8)
    dark = darken(picture)
    assert dark.dtype == np.uint8
    assert dark.shape == picture.shape
    assert (dark == expected).all()


def test_gain_rises_with_luminance_and_nothing_gets_brighter():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    dark = darken(ramp)[0, :, 0].astype(int)
    assert (np.diff(dark) >= 0).all()
    assert (dark <= np.arange(256)).all()


def test_target_is_the_darkened_image():
    for index in range(6):
        image, target = draw(0, index)
        assert image.shape == target.shape == (96, 96, 3)
        assert image.dtype == target.dtype == np.uint8
        np.testing.assert_array_equal(target, darken(image))


def test_every_scene_has_highlights_that_stay_and_much_else_that_darkens():
    for index in range(12):
        image, target = (picture.astype(float) for picture in draw(0, index))
        gray = np.asarray(Image.fromarray(image.astype(np.uint8)).convert("L")) / 255  # Pillow's luma (BT.601)
        assert (gray > 0.9).mean() > 0.002
        assert (gray < 0.5).mean() > 0.05
        assert (target[gray > 0.95] >= image[gray > 0.95] - 1).all()
        assert target[gray < 0.4].sum() < 0.35 * image[gray < 0.4].sum()
        assert np.ptp(image, axis=2).mean() > 10  # colorful


def test_same_seed_same_pair_other_seed_another():
    np.testing.assert_array_equal(draw(3, 1)[0], draw(3, 1)[0])
    assert (draw(3, 1)[0] != draw(4, 1)[0]).any()
    assert (draw(3, 1)[0] != draw(3, 2)[0]).any()


def test_files_read_back_as_drawn(tmp_path):
    folder = write_darkened_pairs(tmp_path / "set", 3, 64, 5)
    assert sorted(path.name for path in folder.glob("images/*")) == [f"darken-000{index}.png" for index in range(3)]
    for index in range(3):
        for kind, picture in zip(("images", "targets"), draw(5, index, 64), strict=True):
            with Image.open(folder / kind / f"darken-000{index}.png") as image:
                np.testing.assert_array_equal(np.asarray(image), picture)


def test_written_once_and_more_cases_change_no_earlier_one(tmp_path):
    folder = write_darkened_pairs(tmp_path, 2, 64, 5)
    before = digests(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_darkened_pairs(tmp_path, 2, 64, 5)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    write_darkened_pairs(tmp_path, 3, 64, 5)
    assert before.items() <= digests(folder).items()


def test_interrupted_set_is_completed(tmp_path):
    whole = digests(write_darkened_pairs(tmp_path, 2, 64, 5))
    (tmp_path / "generated.json").unlink()
    (tmp_path / "targets/darken-0001.png").unlink()
    write_darkened_pairs(tmp_path, 2, 64, 5)
    assert digests(tmp_path) == whole


def test_a_folder_of_phantoms_is_not_overwritten(tmp_path):
    write_phantoms(tmp_path, 1, 64, 0)
    with pytest.raises(DataError, match="did not write"):
        write_darkened_pairs(tmp_path, 1, 64, 0)
    assert (tmp_path / "images/phantom-0000.dcm").exists()
