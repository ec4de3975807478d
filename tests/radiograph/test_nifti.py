import gzip
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medseg.errors import RadiographError
from medseg.radiograph import build_nifti, read_radiograph
from tests.support.dicom_files import SPACING, phantom


def save(path, data, affine, units="mm", codes=(1, 1)):
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units(units)
    image.set_qform(affine, codes[0])
    image.set_sform(affine, codes[1])
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("spacing", [SPACING, (1.0, 1.0), None])
def test_what_is_built_reads_back_equal(tmp_path, name, spacing):
    nibabel.save(build_nifti(phantom(), spacing), tmp_path / name)
    radiograph = read_radiograph(tmp_path / name)
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.spacing_mm == (pytest.approx(spacing) if spacing else None)
    assert radiograph.spacing_source == ("file" if spacing else "none")
    assert radiograph.kind == "nifti"
    assert radiograph.warnings == ()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float16, np.float32])
def test_any_type_can_be_built(tmp_path, dtype):
    nibabel.save(build_nifti((phantom() > 2000).astype(dtype), SPACING), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.nii").pixels, phantom() > 2000)


def test_what_is_built_lies_in_simpleitk_as_a_png_does(tmp_path):
    nibabel.save(build_nifti(phantom(), SPACING), tmp_path / "a.nii")
    image = sitk.ReadImage(str(tmp_path / "a.nii"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), phantom())
    assert image.GetSpacing() == pytest.approx(SPACING[::-1])
    assert image.GetDirection() == (1, 0, 0, 1)


def test_what_simpleitk_writes_reads_back_equal(tmp_path):
    image = sitk.GetImageFromArray(phantom())
    image.SetSpacing(SPACING[::-1])
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    radiograph = read_radiograph(tmp_path / "a.nii")
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.spacing_mm == pytest.approx(SPACING)


def test_identity_with_units_unknown_is_the_array_as_it_lies(tmp_path):
    radiograph = read_radiograph(save(tmp_path / "a.nii", phantom().T, np.eye(4), "unknown"))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.spacing_mm is None


def test_identity_in_mm_is_believed(tmp_path):
    radiograph = read_radiograph(save(tmp_path / "a.nii", phantom().T, np.eye(4)))
    np.testing.assert_array_equal(radiograph.pixels, phantom()[::-1, ::-1])
    assert radiograph.spacing_mm == (1, 1)


def test_file_without_orientation_is_the_array_as_it_lies(tmp_path):
    affine = np.diag([-0.15, -0.2, 1, 1])
    radiograph = read_radiograph(save(tmp_path / "a.nii", phantom().T, affine, codes=(0, 0)))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize(
    ("axes", "turned"),
    [
        ([[-0.15, 0], [0, -0.2]], lambda picture: picture.T),
        ([[0.15, 0], [0, -0.2]], lambda picture: picture.T[::-1]),
        ([[-0.15, 0], [0, 0.2]], lambda picture: picture.T[:, ::-1]),
        ([[0, -0.15], [-0.2, 0]], lambda picture: picture),
        ([[0, 0.15], [-0.2, 0]], lambda picture: picture[:, ::-1]),
    ],
)
def test_affines_in_the_plane_are_turned_to_the_canonical_one(tmp_path, axes, turned):
    affine = np.eye(4)
    affine[:2, :2] = axes
    radiograph = read_radiograph(save(tmp_path / "a.nii", np.ascontiguousarray(turned(phantom())), affine))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize(("units", "scale"), [("mm", 1), ("micron", 1000), ("meter", 0.001), ("unknown", 1)])
def test_units_become_mm(tmp_path, units, scale):
    affine = np.diag([-0.15 * scale, -0.2 * scale, 1, 1])
    assert read_radiograph(save(tmp_path / "a.nii", phantom().T, affine, units)).spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize("shape", [(80, 96, 1), (80, 96, 1, 1)])
def test_single_slices_of_more_dimensions(tmp_path, shape):
    path = save(tmp_path / "a.nii", phantom().T.reshape(shape), np.diag([-0.15, -0.2, 1, 1]))
    np.testing.assert_array_equal(read_radiograph(path).pixels, phantom())


def test_slope_and_intercept_are_applied(tmp_path):
    image = build_nifti(phantom(), SPACING)
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "a.nii")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.nii").pixels, phantom() * 0.5 + 10)


def test_big_endian_and_nifti2(tmp_path):
    nibabel.save(nibabel.Nifti2Image(phantom().T, np.diag([-0.15, -0.2, 1, 1])), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.nii").pixels, phantom())
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(phantom().T, np.diag([-0.15, -0.2, 1, 1]), header), tmp_path / "b.nii")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "b.nii").pixels, phantom())


@pytest.mark.parametrize(
    ("data", "affine", "reason"),
    [
        (np.zeros((4, 4, 3)), np.eye(4), "has 4 x 4 x 3 voxels"),
        (np.zeros(4), np.eye(4), "has 4 voxels"),
        (np.zeros((4, 4, 1, 2)), np.eye(4), "has 4 x 4 x 1 x 2 voxels"),
        (np.zeros((4, 4), np.complex64), np.eye(4), "type complex64"),
        (np.zeros((4, 4), [(c, "u1") for c in "RGB"]), np.eye(4), "type RGB"),
        (np.arange(16.0).reshape(4, 4), np.eye(4)[[0, 2, 1, 3]], "does not lie in the plane"),
        (np.full((4, 4), np.nan), np.eye(4), "NaN"),
        (np.full((4, 4), 7.0), np.eye(4), "every pixel is 7"),
    ],
)
def test_what_is_no_gray_slice_is_refused(tmp_path, data, affine, reason):
    nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / "a.nii")
    with pytest.raises(RadiographError, match=reason):
        read_radiograph(tmp_path / "a.nii")


def test_damage_that_the_checksum_tells_is_refused(tmp_path):
    nibabel.save(build_nifti(phantom(), SPACING), tmp_path / "a.nii.gz")
    raw = bytearray((tmp_path / "a.nii.gz").read_bytes())
    raw[-6] ^= 1  # in the checksum itself
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises(RadiographError, match="damaged or cut short"):
        read_radiograph(tmp_path / "a.nii.gz")


def test_half_of_a_pair_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(phantom().T, np.eye(4)), tmp_path / "a.hdr")
    with pytest.raises(RadiographError, match="half of a NIfTI pair"):
        read_radiograph(tmp_path / "a.hdr")


@pytest.mark.parametrize("keep", [3, 200, 351, 1000])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_truncated_files_are_refused(tmp_path, name, keep):
    nibabel.save(build_nifti(phantom(), SPACING), tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
    with pytest.raises(RadiographError, match=name):
        read_radiograph(tmp_path / name)


def test_header_that_claims_too_much_is_refused_before_it_is_inflated(tmp_path):
    raw = bytearray(build_nifti(phantom(), SPACING).to_bytes())
    raw[42:46] = np.array([30000, 30000], "<i2").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(RadiographError, match="claims 30000 x 30000 pixels"):
        read_radiograph(tmp_path / "a.nii.gz")


def test_unknown_units_code_is_damage(tmp_path):
    data = bytearray(build_nifti(phantom(), SPACING).to_bytes())
    data[123] = 99  # xyzt_units
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(RadiographError, match="NIfTI header is damaged"):
        read_radiograph(tmp_path / "a.nii")


@pytest.mark.parametrize(("shape", "code"), [((3, 80, 96), "frames"), ((32767,) * 3, "damaged"), ((80,), "damaged")])
def test_a_stack_is_told_from_a_lie(tmp_path, shape, code):
    data = bytearray(build_nifti(np.zeros((96, 80, 3), np.uint16), None).to_bytes())
    data[40:56] = struct.pack("<8h", *(len(shape), *shape, 1, 1, 1, 1, 1, 1)[:8])
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(RadiographError, match="voxels, but one slice") as error:
        read_radiograph(tmp_path / "a.nii")
    assert error.value.code == code
