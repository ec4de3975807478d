import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from medseg.checks.survey import survey_case
from medseg.data.case import Case, MaskSource
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.transforms import LoadMasksd, LoadRadiographd, LoadTargetd, apply_transforms, as_item, build_loading
from medseg.errors import RadiographError
from tests.support.dicom_files import phantom

EIGHT = (phantom() >> 4).astype(np.uint8)
MASK = np.where(phantom() > 2000, 255, 0).astype(np.uint8)


def write(path, pixels, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif if orientation > 1 else None)
    return path


def show(pixels, orientation):
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def load(tmp_path, orientation, masks, image=EIGHT, **settings):
    """What training reads of an image with an EXIF orientation and of masks, pixels and their own orientation each."""
    sources = {
        name: MaskSource(write(tmp_path / f"mask_{name}.png", pixels, own)) for name, (pixels, own) in masks.items()
    }
    case = Case("a", write(tmp_path / "a.png", image, orientation), sources)
    data, names = DataConfig(**settings), tuple(masks)
    item = LoadMasksd(["mask"], data, names)(LoadRadiographd(["image"], data)(as_item(case)))
    shape = survey_case(case, names, data, PreprocessConfig(size=(64, 64))).shape
    assert shape == item["image"].shape[1:]
    return item["image"].as_tensor()[0].numpy(), item["mask"].numpy() * 255, item["image"].meta["warnings"]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("half", [1, 2])
def test_size_of_the_masks_tells_what_they_were_drawn_on(tmp_path, orientation, half):
    shown, stored = show(MASK, orientation)[::half, ::half], MASK[::half, ::half]
    image, masks, notes = load(tmp_path, orientation, {"a": (shown, 1), "b": (shown, 1)})
    np.testing.assert_array_equal(image, show(EIGHT, orientation))
    np.testing.assert_array_equal(masks, [shown, shown])
    assert notes == (f"the image was turned by its EXIF orientation {orientation}",)
    image, masks, notes = load(tmp_path, orientation, {"a": (stored, 1)})
    np.testing.assert_array_equal(image, EIGHT)
    np.testing.assert_array_equal(masks, [stored])
    assert notes == (f"the EXIF orientation {orientation} of the image was ignored",)


@pytest.mark.parametrize(
    ("orientation", "square"), [(2, False), (3, False), (4, False), (3, True), (6, True), (8, True)]
)
def test_setting_must_decide_where_the_masks_fit_both_ways(tmp_path, orientation, square):
    size = slice(0, 80) if square else slice(None)
    pixels, mask = EIGHT[size], MASK[size]
    text = (
        rf"a\.png: the image has EXIF orientation {orientation}, and its masks \({len(mask)} x 80 pixels\) fit both "
        r"the turned and the stored image\. Set data\.exif=apply or data\.exif=ignore"
    )
    with pytest.raises(RadiographError, match=text):
        load(tmp_path, orientation, {"a": (mask, 1)}, pixels)
    image, masks, _ = load(tmp_path, orientation, {"a": (mask, 1)}, pixels, exif="apply")
    np.testing.assert_array_equal(image, show(pixels, orientation))
    np.testing.assert_array_equal(masks, [mask])
    image, masks, _ = load(tmp_path, orientation, {"a": (mask, 1)}, pixels, exif="ignore")
    np.testing.assert_array_equal(image, pixels)
    np.testing.assert_array_equal(masks, [mask])


@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_with_the_orientation_of_their_image_are_turned_with_it(tmp_path, orientation):
    image, masks, _ = load(tmp_path, orientation, {"a": (MASK, orientation)})
    np.testing.assert_array_equal(image, show(EIGHT, orientation))
    np.testing.assert_array_equal(masks, [show(MASK, orientation)])
    image, masks, _ = load(tmp_path, orientation, {"a": (MASK, orientation)}, exif="ignore")
    np.testing.assert_array_equal(image, EIGHT)
    np.testing.assert_array_equal(masks, [MASK])


def test_masks_that_fit_neither_way_are_named(tmp_path):
    with pytest.raises(RadiographError, match=r"mask_a\.png: 50 x 70 pixels"):
        load(tmp_path, 6, {"a": (MASK[:50, :70], 1)})


def test_training_is_told_before_it_starts(tmp_path):
    case = Case("a", write(tmp_path / "a.png", EIGHT, 3), {"a": MaskSource(write(tmp_path / "m.png", MASK))})
    transform = build_loading(DataConfig(), ("a",))
    with pytest.raises(RadiographError, match=r"Set data\.exif=apply") as error:
        apply_transforms(transform, as_item(case))
    assert error.value.code == "exif"


@pytest.mark.parametrize(("orientation", "own", "turned"), [(6, 6, True), (3, 3, True), (6, 1, False), (1, 1, False)])
def test_target_is_an_image_too(tmp_path, orientation, own, turned):
    color = np.stack([EIGHT, EIGHT // 2, EIGHT // 3], axis=2)
    image = write(tmp_path / "a.png", color, orientation)
    case = Case("a", image, {}, target=write(tmp_path / "t.png", color // 2, own))
    data = DataConfig(color="rgb")
    item = LoadTargetd(["target"], data)(LoadRadiographd(["image"], data)(as_item(case)))
    expected = show(color, orientation) if turned else color
    assert torch.equal(item["image"].as_tensor(), torch.from_numpy(expected.astype(np.float32)).permute(2, 0, 1))
    assert torch.equal(
        item["target"].as_tensor(), torch.from_numpy((expected // 2).astype(np.float32)).permute(2, 0, 1)
    )
