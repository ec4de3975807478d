import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medseg.errors import RadiographError
from medseg.radiograph.grid import read_grid
from tests.support.dicom_files import write_dicom


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_pictures_start_nowhere(tmp_path, name):
    Image.new("L", (30, 20)).save(tmp_path / name)
    grid = read_grid(tmp_path / name)
    assert (grid.size, grid.origin) == ((30, 20), None)
    np.testing.assert_array_equal(grid.directions, np.eye(3))


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.nii", "a.nii.gz"])
def test_files_that_say_where_they_lie(tmp_path, name):
    image = sitk.GetImageFromArray(np.zeros((1, 20, 30), np.uint8))
    image.SetOrigin((5, -7, 9))
    image.SetSpacing((0.5, 0.75, 2))
    image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, tmp_path / name)
    grid = read_grid(tmp_path / name)
    assert grid.size == image.GetSize()[:2]
    np.testing.assert_allclose(grid.origin, image.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(grid.spacing, image.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(grid.directions.ravel(), image.GetDirection(), atol=1e-5)


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [
        (None, np.eye(3)),
        ([1, 0, 0, 0, 0, -1], [[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
        ([1, 0, 0, 1, 0, 0], np.eye(3)),
        ([1, 0, 0], np.eye(3)),
    ],
)
def test_dicom_lies_as_its_cosines_say_if_they_can(tmp_path, cosines, expected):
    grid = read_grid(write_dicom(tmp_path / "a.dcm", ImageOrientationPatient=cosines))
    assert (grid.size, grid.origin) == ((80, 96), None)
    np.testing.assert_array_equal(grid.directions, expected)


def test_what_is_no_image(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    with pytest.raises(RadiographError, match=r"a\.png: is not a readable PNG file"):
        read_grid(tmp_path / "a.png")
