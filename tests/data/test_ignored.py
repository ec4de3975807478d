"""Pixels that count for nothing: read from any layout, background in the mask, ignored wherever they go."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from medseg.checks.items import summarize_item
from medseg.checks.run import check_set
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.loaders import cache_cases
from medseg.data.masks import read_mask_files
from medseg.errors import DataError

VALUES = np.kron([[0, 1, 2], [1, 9, 0], [9, 2, 1]], np.ones((8, 8))).astype(np.uint8)
"""Labels 1 and 2; 9 is ignored."""


def write(root, masks, suffix="png"):
    """Three images, each with the mask files `masks`, folder -> values."""
    rng = np.random.default_rng(0)
    for number in range(3):
        for folder, values in {"images": rng.integers(0, 255, VALUES.shape), **masks}.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            kind = "png" if folder == "images" else suffix
            Image.fromarray(np.asarray(values, np.uint8)).save(root / folder / f"{number}.{kind}")
    return root


def read(root, **settings):
    """Class -> what was read, of the first case; the checks find nothing that must be mended."""
    data = DataConfig(root=root, **settings)
    found, findings = find_cases(data), Findings()
    look = partial(summarize_item, classes=found.classes)
    _, surveys = cache_cases(found.cases, found.classes, data, PreprocessConfig(size=(16, 16)), root, findings, look)
    check_set(surveys, found.classes, findings)
    findings.check()
    return read_mask_files(found.cases[0].masks, data, [])


def as_nnunet(root):
    write(root, {"labelsTr": VALUES})
    (root / "images").rename(root / "imagesTr")
    for path in list((root / "imagesTr").iterdir()):
        path.rename(path.with_name(f"{path.stem}_0000.png"))
    labels = {"background": 0, "a": 1, "b": 2, "ignore": 9}
    (root / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "x"}, "labels": labels, "file_ending": ".png"})
    )
    return root, {}


def as_label_maps(root):
    return write(root, {"masks": VALUES}), {"classes": ("a", "b"), "ignore_value": 9}


def as_named_values(root):
    return write(root, {"masks": VALUES}), {"label_values": {"a": (1,), "b": (2,)}, "ignore_value": 9}


def as_manifest(root):
    write(root, {"masks": VALUES})
    lines = "".join(f"images/{n}.png,masks/{n}.png\n" for n in range(3))
    (root / "set.csv").write_text(f"image,mask\n{lines}")
    return root / "set.csv", {"classes": ("a", "b"), "ignore_value": 9}


def as_class_folders(root):
    """Of any two levels, with a third that is ignored."""
    levels = {name: np.select([value == VALUES, VALUES == 9], [200, 255], 7) for name, value in (("a", 1), ("b", 2))}
    return write(root, {f"masks/{name}": level for name, level in levels.items()}), {"ignore_value": 255}


@pytest.mark.parametrize("layout", [as_nnunet, as_label_maps, as_named_values, as_manifest, as_class_folders])
def test_ignored_pixels_of_any_layout(layout, tmp_path):
    root, settings = layout(tmp_path / "set")
    files = read(root, **settings)
    for name, value in (("a", 1), ("b", 2)):
        np.testing.assert_array_equal(files[name].mask, value == VALUES)
        np.testing.assert_array_equal(files[name].ignored, VALUES == 9)


def test_without_such_pixels_nothing_is_ignored(tmp_path):
    root = write(tmp_path / "set", {"masks": VALUES % 9})
    assert read(root, classes=("a", "b"), ignore_value=9)["a"].ignored is None


def test_a_network_pixel_is_ignored_if_any_of_its_pixels_is(tmp_path):
    root, settings = as_label_maps(tmp_path / "set")
    data = DataConfig(root=root, **settings)
    found = find_cases(data)
    cached, _ = cache_cases(found.cases, found.classes, data, PreprocessConfig(size=(20, 20)), root, Findings())
    assert cached.ignored is not None
    weights = torch.nn.functional.interpolate(
        torch.from_numpy((VALUES == 9).astype(np.float32))[None, None], (20, 20), mode="bilinear", antialias=True
    )
    assert torch.equal(cached.ignored[0, 0].bool(), weights[0, 0] > 0.002)
    assert torch.equal(cached.ignored[0, 0], cached.ignored[0, 1])
    assert not (cached.labels.bool() & cached.ignored.bool()).any()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"classes": ("a", "b"), "ignore_value": 2},
            r"the value 2 is set as .*, but it is also the value of the class b",
        ),
        ({"label_values": {"a": (1, 9), "b": (2,)}, "ignore_value": 9}, "the class a"),
        ({"classes": ("a", "b"), "ignore_value": 0}, "the background"),
        ({"classes": ("a", "b")}, "9 .*the values of the classes are 1, 2"),
    ],
)
def test_settings_that_cannot_be(settings, said, tmp_path):
    with pytest.raises(DataError, match=said):
        read(write(tmp_path / "set", {"masks": VALUES}), **settings)


def test_lossy_masks_do_not_keep_the_ignored_value(tmp_path):
    root = write(tmp_path / "set", {"masks/a": np.where(VALUES == 1, 255, 0)}, suffix="jpg")
    with pytest.raises(DataError, match="the ignored value is not reliable after lossy compression"):
        read(root, ignore_value=255)
