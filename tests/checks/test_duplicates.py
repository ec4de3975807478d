import io

import numpy as np
import pytest
import torch
from PIL import Image

from medseg.checks.duplicates import check_copies, find_copies, take_fingerprint
from medseg.data.config import PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.preprocess import fit, scale_intensity
from medseg.errors import DataError
from medseg.phantom.chest import draw_phantom
from medseg.radiograph.read import read_radiograph


def pairs_among(pictures):
    return find_copies([take_fingerprint(picture) for picture in pictures])


def network_view(pixels):
    config = PreprocessConfig()
    return fit(torch.from_numpy(scale_intensity(pixels.astype(np.float32), None, config))[None], config)[0].numpy()


def through_jpeg(picture, quality):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def copy_picture(pixels, how):
    eight = np.round(pixels / pixels.max() * 255).astype(np.uint8)
    picture = Image.fromarray(eight)
    small = picture.resize((picture.width * 7 // 10, picture.height * 7 // 10), Image.Resampling.LANCZOS)
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)
    return {
        "jpeg": lambda: through_jpeg(picture, 85),
        "brightness": lambda: np.clip(eight * 0.8 + 40, 0, 255),
        "gamma": lambda: 255 * (eight / 255) ** 1.4,
        "resized": lambda: np.asarray(small),
        "half and jpeg": lambda: through_jpeg(half, 50),
    }[how]()


@pytest.fixture(scope="module")
def phantoms():
    return [draw_phantom(np.random.default_rng([11, index]), 256).pixels for index in range(24)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jpeg", "brightness", "gamma", "resized", "half and jpeg"])
def test_copies_across_splits_are_found(phantoms, how):
    originals = [network_view(pixels) for pixels in phantoms[:6]]
    copies = [network_view(copy_picture(pixels, how)) for pixels in phantoms[:6]]
    assert pairs_among(originals + copies) == [(n, n + 6) for n in range(6)]


@pytest.mark.slow
def test_different_phantoms_are_not_flagged(phantoms):
    assert pairs_among(map(network_view, phantoms)) == []


def test_small_phantoms_that_look_much_alike_are_not_flagged():
    alike = (122, 127, 138, 190, 216, 299, 319)  # of 400: their detail correlates by 0.84 to 0.86
    small = [draw_phantom(np.random.default_rng([21, index]), 96).pixels for index in alike]
    assert pairs_among(map(network_view, small)) == []


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", ["jsrt", "montgomery"])
def test_real_copies_are_found_and_different_patients_never(shared_data, name):
    files = sorted((shared_data / name / "images").iterdir())
    pixels = [read_radiograph(path).pixels for path in files]
    views = [network_view(picture) for picture in pixels]
    assert pairs_among(views) == []
    for how in ("jpeg", "brightness", "resized"):
        copies = [network_view(copy_picture(picture, how)) for picture in pixels[:6]]
        assert pairs_among(views + copies) == [(n, len(files) + n) for n in range(6)]


def test_flat_pictures_are_no_copies():
    flat = [np.full((64, 64), level, np.float32) for level in (0, 0, 0.5, 1)]
    assert pairs_among(flat) == []


@pytest.mark.slow
def test_copies_are_found_wherever_they_stand():
    """In a set of many blocks: 39 pictures, of which 11 stand there 52 times and the others 51 times."""
    pictures = np.random.default_rng(0).random((39, 64, 64), np.float32)
    prints = [take_fingerprint(picture) for picture in pictures]
    found = find_copies([prints[n % 39] for n in range(2000)])
    assert len(found) == 11 * 52 * 51 // 2 + 28 * 51 * 50 // 2
    assert all(first < second and (second - first) % 39 == 0 for first, second in found)


@pytest.mark.parametrize(
    ("splits", "allowed", "expected"),
    [
        ("train train test", False, [("copies", "warning")]),
        ("train test test", False, [("copies_across_splits", "error")]),
        ("train test test", True, [("copies_across_splits", "warning")]),
    ],
)
def test_what_is_noted_depends_on_the_splits(phantoms, splits, allowed, expected):
    prints = [take_fingerprint(network_view(phantoms[number])) for number in (0, 0, 1)]
    findings = Findings()
    check_copies("abc", splits.split(), prints, allowed, findings)
    assert [(f.code, f.severity) for f in findings.listed()] == expected
    assert findings.listed()[0].cases == ("a", "b")
    if expected[0][1] == "error":
        with pytest.raises(
            DataError, match=r"near-identical images in different splits \(1\):\n +a \(train\) and b \(test\)"
        ):
            findings.check()


def test_no_pictures_no_copies():
    assert find_copies([]) == []
