import math
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from medseg.data.case import MaskSource
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.data.masks import check_classes, check_sizes, read_mask_files, stack_masks
from medseg.errors import RadiographError
from tests.support.slicer_files import name_segments, write_slicer

PLAIN = CasesConfig()


def write_picture(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def read_masks(sources, classes):
    """Masks `(class, rows, columns)`, and warnings."""
    warnings = []
    return stack_masks(read_mask_files(sources, PLAIN, warnings), classes), warnings


def test_masks_of_different_sizes(tmp_path):
    sources = {
        name: MaskSource(write_picture(tmp_path / f"{name}.png", np.eye(size, dtype=np.uint8)))
        for name, size in {"a": 8, "b": 9}.items()
    }
    with pytest.raises(
        RadiographError,
        match=r"the masks of one image differ in size \(rows, columns\): .*a\.png \(8, 8\), .*b\.png \(9, 9\)",
    ):
        read_masks(sources, ("a", "b"))


def test_label_map_by_value(tmp_path):
    path = write_picture(tmp_path / "m.png", np.array([[0, 1], [2, 3]], np.uint8))
    masks, warnings = read_masks(
        {"a": MaskSource(path, (1, 3), (1, 2, 3)), "b": MaskSource(path, (2,), (1, 2, 3))}, "ab"
    )
    assert masks.tolist() == [[[0, 1], [0, 1]], [[0, 0], [1, 0]]]
    assert warnings == []


def test_all_but_0(tmp_path):
    path = write_picture(tmp_path / "m.png", np.array([[0, 1], [2, 9]], np.uint8))
    masks, _ = read_masks({"a": MaskSource(path, "nonzero", "nonzero")}, "a")
    assert masks.tolist() == [[[0, 1], [1, 1]]]
    with pytest.raises(RadiographError, match="pixels of value 0 are not reliable after lossy compression"):
        read_masks({"a": MaskSource(write_picture(tmp_path / "m.jpg", np.eye(9) * 9 > 0), "nonzero")}, "a")


def test_soft_mask_is_cut_at_half(tmp_path):
    path = write_picture(tmp_path / "m.png", np.array([[0, 100], [140, 255]], np.uint8))
    assert read_masks({"a": MaskSource(path)}, "a")[0].tolist() == [[[0, 0], [1, 1]]]


def test_classes_of_one_file_share_its_levels(tmp_path):
    path = write_picture(tmp_path / "m.png", np.array([[0, 7], [7, 9]], np.uint8))
    first, second = read_mask_files(
        {"a": MaskSource(path, (7,), (7, 9)), "b": MaskSource(path, (9,), (7, 9))}, PLAIN, []
    ).values()
    (levels,) = first.levels
    assert levels is second.levels[0]
    assert (levels.path, levels.values, levels.counts) == (path, (0, 7, 9), (1, 2, 1))
    assert levels.known == (7, 9)


def test_segments_of_slicer_are_placed_on_their_image(tmp_path):
    image = write_picture(tmp_path / "a.png", np.eye(9, dtype=np.uint8))
    path = write_slicer(tmp_path / "a.seg.nrrd", np.ones((2, 3)), name_segments("Lungs"), origin=(4, 5, 0))
    read = read_mask_files({"lungs": MaskSource(path, segment="Lungs", image=image)}, PLAIN, [])["lungs"]
    assert np.argwhere(read.mask).tolist() == [[row, column] for row in (5, 6) for column in (4, 5, 6)]
    assert read.levels == ()


@pytest.mark.parametrize("rounded", [math.floor, round, math.ceil])
@pytest.mark.parametrize("size", [(1023, 767), (1021, 767), (2022, 2021), (512, 511), (48, 40)])
def test_sizes_of_one_factor_fit_however_they_were_rounded(tmp_path, size, rounded):
    for factor in (Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), 1, Fraction(3, 2), 2, 5):
        check_sizes(tmp_path, size, tmp_path, tuple(rounded(side * factor) for side in size))


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ((4, 5), (5, 4)),
        ((1023, 767), (767, 1023)),
        ((512, 511), (511, 512)),
        ((512, 512), (512, 511)),
        ((512, 512), (256, 257)),
        ((1023, 767), (511, 385)),
        ((1023, 767), (512, 512)),
        ((101, 100), (100, 101)),
        ((96, 80), (97, 80)),
    ],
)
def test_sizes_of_another_ratio_do_not(tmp_path, image, mask):
    said = rf"b: {mask[0]} x {mask[1]} pixels, but its image .*a has {image[0]} x {image[1]}\. Export both"
    with pytest.raises(RadiographError, match=said) as caught:
        check_sizes(tmp_path / "a", image, tmp_path / "b", mask)
    assert caught.value.code == "shape"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([[1, 1], [1, 0], [0, 0]], None),
        ([[1, 0], [1, 0], [0, 1]], ("a", "b")),  # the test case shows it, but training never sees it
        ([[1, 0], [1, 0], [0, 0]], ("a", "b", "c")),
    ],
)
def test_class_that_training_never_shows(shown, expected):
    findings = Findings()
    check_classes("abc", [True, True, False], ("heart", "lungs"), shown, findings)
    assert [finding.cases for finding in findings.listed()] == ([expected] if expected else [])
