"""Masks as NIfTI lie in space where their images lie."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medseg.output.writers import Results, Source, take_sources, write_formats
from medseg.radiograph import binarize, read_label_image, read_radiograph

ARRAY = np.random.default_rng(0).integers(0, 200, (9, 7, 1)).astype(np.uint8)


def rotate(*steps, origin=(0, 0, 0)):
    """An affine with these steps along the three axes of the array."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.array(steps).T, origin
    return affine


def write_mask(path):
    """The NIfTI mask of all bright pixels of an image, by the writer of the predict command."""
    radiograph, warnings = read_radiograph(path), []
    mask = radiograph.pixels > 100
    with path.open("rb") as file:
        taken = take_sources(["nifti"], Source(file, radiograph, {}, False, path.name), warnings)
        results = Results(mask[None], ("a",), radiograph.spacing_mm, (), None, "", "", "", None)
        (name,) = write_formats(taken, results, "id", path.parent.joinpath, warnings)
    assert not warnings
    np.testing.assert_array_equal(binarize(read_label_image(path.parent / name)), mask)  # read as the image is
    return nibabel.load(path.parent / name)


def assert_covers(mask, affine, array):
    """Every voxel of the array has its mask at the same place in space."""
    voxels = np.argwhere(np.ones_like(array))
    places = np.linalg.inv(mask.affine) @ affine @ np.c_[voxels, np.zeros(len(voxels)), np.ones(len(voxels))].T
    columns, rows = np.rint(places[:2]).astype(int)
    assert np.abs(places[:2] - [columns, rows]).max() < 1e-3
    np.testing.assert_array_equal(np.asarray(mask.dataobj)[columns, rows] > 0, array.ravel() > 100)


@pytest.mark.parametrize("unit", ["mm", "meter", "unknown"])
@pytest.mark.parametrize(
    "affine",
    [
        rotate((0.35, 0, 0), (0, 0.2, 0), (0, 0, 1), origin=(-100, -150, 40)),
        rotate((-0.35, 0, 0), (0, -0.2, 0), (0, 0, 1), origin=(120, 80, 40)),
        rotate((0, -0.35, 0), (-0.2, 0, 0), (0, 0, 1), origin=(5, 6, 7)),
        rotate((0, 0.35, 0), (-0.2, 0, 0), (0, 0, 1)),
        np.eye(4),
    ],
)
def test_a_mask_of_a_nifti_covers_it(tmp_path, affine, unit):
    image = nibabel.Nifti1Image(ARRAY, affine)
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "a.nii.gz")
    mask = write_mask(Path(tmp_path / "a.nii.gz"))
    assert mask.header.get_xyzt_units()[0] == unit
    assert_covers(mask, affine, ARRAY[:, :, 0])


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("direction", [(1, 0, 0, 1), (-1, 0, 0, 1), (0, -1, 1, 0)])
def test_a_mask_of_an_mha_or_nrrd_covers_it(tmp_path, name, direction):
    image = sitk.GetImageFromArray(ARRAY[:, :, 0].T)
    image.SetSpacing((0.35, 0.2))
    image.SetOrigin((30, -20))
    image.SetDirection(direction)
    sitk.WriteImage(image, tmp_path / name)
    affine = np.eye(4)
    affine[:2, :2] = -np.array(direction).reshape(2, 2) * (0.35, 0.2)
    affine[:2, 3] = -30, 20
    assert_covers(write_mask(tmp_path / name), affine, ARRAY[:, :, 0])


@pytest.mark.parametrize(
    "affine",
    [
        rotate((-0.35, 0, 0), (0, -0.2, 0), (0, 0, 0)),
        rotate((-0.35, 0, 0), (0, -0.2, 0), (0, 0, 1), origin=(1e39, 0, 0)),
    ],
)
def test_a_place_that_nifti_cannot_hold_is_left_out(tmp_path, affine):
    image = nibabel.Nifti2Image(ARRAY, np.eye(4))
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    image.to_filename(tmp_path / "a.nii")
    np.testing.assert_allclose(write_mask(tmp_path / "a.nii").affine, np.diag([-0.35, -0.2, 1, 1]), rtol=1e-6)


def test_a_mask_keeps_the_spacing_that_the_affine_does_not_have(tmp_path):
    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.header.set_zooms((0.2, 0.35, 1))
    image.to_filename(tmp_path / "a.nii.gz")
    assert read_radiograph(tmp_path / "a.nii.gz").spacing_mm == pytest.approx((0.35, 0.2))
    assert write_mask(tmp_path / "a.nii.gz").header.get_zooms()[:2] == pytest.approx((0.2, 0.35))


def test_a_mask_of_an_image_without_a_place_has_the_usual_axes(tmp_path):
    image = nibabel.Nifti1Image(ARRAY, None)
    image.header["dim_info"] = 0
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.to_filename(tmp_path / "a.nii.gz")
    radiograph = read_radiograph(tmp_path / "a.nii.gz", nifti_rows="top")
    with (tmp_path / "a.nii.gz").open("rb") as file:
        assert take_sources(["nifti"], Source(file, radiograph, {}, False, "a"), []) == {"nifti": ()}
