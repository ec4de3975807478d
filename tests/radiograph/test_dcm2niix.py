import json
import os

import numpy as np
import pytest
from PIL import Image

from medseg.radiograph import read_label_image, read_radiograph
from tests.support.dicom_files import SPACING, phantom, write_uncoded

PIXELS = phantom(64, 48)
UNCODED = ("the NIfTI header has no orientation; the first stored row was read as the top row. "
           "If the image is upside down, set data.nifti_rows=bottom "
           "(for prediction: input.nifti_rows=bottom)",)  # fmt: skip


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("flipped", [True, False])
@pytest.mark.parametrize(
    "descrip", ["Time=0.000", "Time=134501.250", "TE=0;Time=90000.000", "TE=2.9;Time=1.000;phase=1", "Time=0.000 is11"]
)
def test_dcm2niix_is_told_by_its_descrip(tmp_path, name, flipped, descrip):
    path = write_uncoded(tmp_path / name, PIXELS, descrip=descrip, flipped=flipped)
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)
    assert radiograph.spacing_mm == pytest.approx(SPACING)
    assert radiograph.warnings == ()
    np.testing.assert_array_equal(read_label_image(path).values, PIXELS)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_radiograph(file).pixels, PIXELS)


@pytest.mark.parametrize(("descrip", "rows"), [("Time=0.000", None), ("Time=0.000", "bottom"), ("", "bottom")])
def test_the_millimetre_that_stands_for_no_spacing_is_none(tmp_path, descrip, rows):
    """What dcm2niix 1.0.20260724 writes where DICOM has no PixelSpacing; others who state 1 mm mean it."""
    path = write_uncoded(tmp_path / "a.nii", PIXELS, descrip=descrip, spacing=(1.0, 1.0))
    radiograph = read_radiograph(path, nifti_rows=rows)
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)
    assert radiograph.spacing_mm == read_label_image(path).spacing_mm == (None if descrip else (1, 1))
    assert radiograph.warnings == ()


@pytest.mark.parametrize(("name", "sidecar"), [("a.nii", "a.json"), ("a.b.nii.gz", "a.b.json"), ("a.NII", "a.json")])
def test_dcm2niix_is_told_by_its_sidecar(tmp_path, name, sidecar):
    (tmp_path / sidecar).write_text(json.dumps({"Modality": "CR", "ConversionSoftware": "dcm2niix"}))
    radiograph = read_radiograph(write_uncoded(tmp_path / name, PIXELS))
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)
    assert radiograph.warnings == ()


@pytest.mark.parametrize("descrip", ["", "FSL5.0", "ITK", "Time", "time=20200101;TE=3", "Time of exposure=0.000"])
def test_rows_of_others_are_taken_from_the_top_with_a_warning(tmp_path, descrip):
    radiograph = read_radiograph(write_uncoded(tmp_path / "a.nii", PIXELS, descrip=descrip, flipped=False))
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)
    assert radiograph.warnings == UNCODED
    assert read_label_image(tmp_path / "a.nii").warnings == UNCODED


@pytest.mark.parametrize("descrip", ["", "Time=0.000"])
def test_setting_decides_for_every_file_without_orientation_codes(tmp_path, descrip):
    path = write_uncoded(tmp_path / "a.nii", PIXELS, descrip=descrip)
    for rows, pixels in (("bottom", PIXELS), ("top", PIXELS[::-1])):
        radiograph = read_radiograph(path, nifti_rows=rows)
        np.testing.assert_array_equal(radiograph.pixels, pixels)
        assert radiograph.warnings == ()
        np.testing.assert_array_equal(read_label_image(path, nifti_rows=rows).values, pixels)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'"dcm2niix"', b"\xff\xfe", b'{"ConversionSoftware": "dicm2nii"}', b" " * (1 << 21)],
)
def test_other_sidecars_tell_nothing(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    assert read_radiograph(write_uncoded(tmp_path / "a.nii", PIXELS)).warnings == UNCODED


def test_sidecar_that_would_never_end_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    assert read_radiograph(write_uncoded(tmp_path / "a.nii", PIXELS)).warnings == UNCODED


def test_the_twin_is_what_nibabel_and_pillow_take_it_for(tmp_path):
    """The affine that nibabel falls back on has the rows from the bottom."""
    import nibabel

    image = nibabel.load(write_uncoded(tmp_path / "a.nii", PIXELS, descrip="Time=0.000"))
    assert np.diag(image.affine)[:2] == pytest.approx((-SPACING[1], SPACING[0]))
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, ::-1, 0].T, np.asarray(Image.open(tmp_path / "a.png")))
