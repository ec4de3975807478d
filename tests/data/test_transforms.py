import logging

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from PIL import Image
from scipy import ndimage

from medseg.data.case import Case, MaskSource
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.frame import Frame
from medseg.data.preprocess import build_input
from medseg.data.transforms import (
    Fitd,
    LoadMasksd,
    LoadRadiographd,
    apply_transforms,
    as_item,
    as_radiograph,
    build_fitting,
    build_loading,
    build_meta_tensor,
)
from medseg.errors import RadiographError
from medseg.radiograph.nifti import build_nifti
from medseg.radiograph.read import read_radiograph
from tests.support.dicom_files import phantom, write_dicom

SPACING = (0.2, 0.15)
PREPROCESS = PreprocessConfig(size=(64, 64))


def write_nifti(path, pixels, spacing=SPACING):
    nibabel.save(build_nifti(pixels, spacing), path)
    return path


def write_png(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def case(tmp_path):
    """A DICOM picture with two masks of its size, one PNG and one NIfTI."""
    image = write_dicom(tmp_path / "a.dcm")
    y, x = np.mgrid[:96, :80]
    disc, box = (y - 30) ** 2 + (x - 50) ** 2 < 200, (y > 40) & (x < 30)
    return Case(
        "a",
        image,
        {
            "disc": MaskSource(write_png(tmp_path / "disc.png", disc.astype(np.uint8) * 255)),
            "box": MaskSource(write_nifti(tmp_path / "box.nii.gz", box.astype(np.uint8))),
        },
    )


@pytest.mark.parametrize("voxel", [(0, 0), (3, 7), (79, 95)])
def test_affine_is_that_of_the_nifti_file(tmp_path, voxel):
    """The same point in space as nibabel and SimpleITK say; SimpleITK counts to the left and back (LPS)."""
    path = write_nifti(tmp_path / "a.nii", phantom())
    tensor = build_meta_tensor(read_radiograph(path))
    column, row = voxel
    point = (tensor.affine.numpy() @ (row, column, 0, 1))[:3]
    image = nibabel.load(path)
    assert np.allclose(point, (image.affine @ (column, row, 0, 1))[:3], atol=1e-5)
    assert tensor[0, row, column] == np.asarray(image.dataobj)[column, row]
    lps = SimpleITK.ReadImage(str(path)).TransformIndexToPhysicalPoint(voxel)
    assert np.allclose(point[:2], (-lps[0], -lps[1]), atol=1e-5)


def test_picture_without_spacing_has_pixels_for_units(tmp_path):
    tensor = build_meta_tensor(read_radiograph(write_png(tmp_path / "a.png", phantom().astype(np.uint8))))
    assert tensor.meta["spacing_mm"] is None
    assert tensor.affine[0, 1] == tensor.affine[1, 0] == -1


@pytest.mark.parametrize(("rows", "columns"), [((0, 200), (0, 120)), ((10, 150), (33, 118))])
def test_affine_follows_the_resize(tmp_path, rows, columns):
    """The center of a disc lies at one point in space, before and after."""
    y, x = np.mgrid[:200, :120]
    pixels = ((y - 60) ** 2 + (x - 80) ** 2 < 400).astype(np.uint8) * 200
    tensor = build_meta_tensor(read_radiograph(write_nifti(tmp_path / "a.nii", pixels)))
    tensor.meta["frame"] = Frame((200, 120), rows, columns)
    fitted = Fitd(["image"], PREPROCESS, binary=False)({"image": tensor})["image"]
    assert isinstance(fitted, MetaTensor)
    points = [
        picture.affine.numpy() @ (*ndimage.center_of_mass(picture[0].numpy()), 0, 1) for picture in (tensor, fitted)
    ]
    assert np.allclose(points[0], points[1], atol=0.05 * min(SPACING))
    assert not torch.equal(tensor.affine, fitted.affine)


def test_meta_holds_nothing_of_the_patient(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm", PatientName="Secret^Name", PatientID="SECRET-ID", PatientBirthDate="19700101"
    )
    item = LoadRadiographd(["image"], DataConfig())({"image": path})
    said = repr(item["image"].meta)
    assert "SECRET" not in said.upper()
    assert "1970" not in said
    assert (item["image"].meta["modality"], item["image"].meta["body_part"], item["image"].meta["view"]) == (
        "DX",
        "CHEST",
        "PA",
    )


def both(data, preprocess, classes):
    """From a case's item to what a network is trained on."""
    return Compose([*build_loading(data, classes).transforms, *build_fitting(data, preprocess).transforms])


def test_radiograph_comes_back_from_its_tensor(case):
    read = read_radiograph(case.image)
    for name, value in vars(as_radiograph(build_meta_tensor(read))).items():
        np.testing.assert_equal(value, None if name in ("sop_class", "sop_instance_uid") else getattr(read, name))


@pytest.mark.parametrize("crop", ["none", "field"])
def test_training_and_prediction_see_one_tensor(case, crop):
    preprocess = PREPROCESS.model_copy(update={"crop": crop})
    trained = apply_transforms(both(DataConfig(), preprocess, ("box", "disc")), as_item(case))
    read = read_radiograph(case.image)
    image, frame = build_input(read.pixels, read.padding, preprocess)
    assert torch.equal(trained["image"].as_tensor(), image)
    assert trained["image"].meta["frame"] == frame
    assert trained["image"].shape == (1, 64, 64)
    assert trained["image"].dtype == torch.float32
    assert (trained["image"].min(), trained["image"].max()) == (0, 1)


def test_masks_stand_in_class_order_at_network_size(case):
    item = apply_transforms(both(DataConfig(), PREPROCESS, ("box", "lungs", "disc")), as_item(case))
    masks = item["mask"].numpy()
    assert masks.dtype == np.uint8
    assert masks.shape == (3, 64, 64)
    assert item["present"].tolist() == [True, False, True]
    assert not masks[1].any()
    # pad: 96 x 80 becomes 64 x 53 with 5 columns in front
    assert np.allclose(ndimage.center_of_mass(masks[2]), ((30.5 * 2 / 3) - 0.5, (50.5 * 53 / 80) + 4.5), atol=0.3)


def test_color_pair(tmp_path):
    colors = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    path = write_png(tmp_path / "a.png", colors)
    data, preprocess = DataConfig(color="rgb"), PreprocessConfig(size=(64, 64), intensity="fixed")
    case = Case("a", path, {}, target=path)
    item = apply_transforms(both(data, preprocess, ("red", "green", "blue")), as_item(case))
    assert np.allclose(item["image"].numpy(), np.moveaxis(colors, -1, 0) / 255, atol=1e-6)
    assert torch.equal(item["image"].as_tensor(), item["target"].as_tensor())


def test_padding_is_black(case):
    pixels = phantom()
    pixels[:, :20] = 4000
    write_dicom(case.image, pixels, PixelPaddingValue=4000)
    item = apply_transforms(both(DataConfig(), PREPROCESS, ("box", "disc")), as_item(case))
    assert (item["image"][0, :, :17] == 0).all()


def test_mask_of_half_the_size_fits(tmp_path):
    image = write_png(tmp_path / "a.png", phantom().astype(np.uint8))
    mask = write_png(tmp_path / "m.png", np.eye(48, 40, dtype=np.uint8))
    loaded = apply_transforms(
        both(DataConfig(), PREPROCESS, ("a",)), as_item(Case("a", image, {"a": MaskSource(mask)}))
    )
    assert loaded["mask"].shape == (1, 64, 64)


@pytest.mark.parametrize("shape", [(97, 80), (80, 96)])
def test_mask_of_another_shape_names_both_files(tmp_path, shape):
    image = write_png(tmp_path / "picture.png", phantom().astype(np.uint8))
    mask = write_png(tmp_path / "outline.png", np.eye(*shape, dtype=np.uint8))
    transform = both(DataConfig(), PREPROCESS, ("a",))
    with pytest.raises(RadiographError, match=rf"outline\.png: {shape[0]} x {shape[1]}.*picture\.png has 96 x 80"):
        apply_transforms(transform, as_item(Case("a", image, {"a": MaskSource(mask)})))


@pytest.mark.parametrize("broken", ["image", "mask"])
def test_error_comes_as_it_is_and_prints_nothing(case, capfd, caplog, broken):
    """MONAI wraps errors and can log what it was given, paths and values."""
    path = case.image if broken == "image" else case.masks["disc"].path
    path.write_bytes(b"SECRET")
    with caplog.at_level(logging.DEBUG), pytest.raises(RadiographError, match=path.name) as caught:
        apply_transforms(both(DataConfig(), PREPROCESS, ("box", "disc")), as_item(case))
    assert caught.value.__cause__ is None
    assert caplog.text == ""
    assert "".join(capfd.readouterr()) == ""


def test_other_errors_are_not_disguised():
    def fail(item):
        raise ZeroDivisionError("elsewhere")

    from monai.transforms.compose import Compose

    with pytest.raises(RuntimeError) as caught:
        apply_transforms(Compose([fail]), {"image": 1})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_masks_alone_need_no_image(case):
    item = LoadMasksd(["mask"], DataConfig(), ("box", "disc"))({"mask": case.masks})
    assert item["mask"].shape == (2, 96, 80)
