"""radiograph.py, which exports carry along: it reads and cleans as medseg does, and imports nothing of it."""

import runpy
import subprocess
import sys

import numpy as np
import pytest
from pydicom import dcmread

from medseg.export.describe import SCRIPTS
from medseg.inference.postprocess import clean_masks
from medseg.radiograph import read_radiograph
from tests.support.dicom_files import phantom, write_dicom

RADIOGRAPH = runpy.run_path(str(SCRIPTS / "radiograph.py"))


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": 2, "RescaleIntercept": -100},
        {"RescaleSlope": 2, "RescaleIntercept": -100, "PixelPaddingValue": 0},
        {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0, "PixelPaddingRangeLimit": 30},
    ],
    ids=["plain", "inverse", "inverse-rescaled", "rescaled", "padded"],
)
def test_a_file_is_read_as_medseg_reads_it(tmp_path, tags):
    pixels = phantom()
    pixels[:8] = 0
    path = write_dicom(tmp_path / "image.dcm", pixels, **tags)
    expected = read_radiograph(path)
    found = RADIOGRAPH["read_dicom"](path)
    assert found.dtype == np.float32
    assert found.shape == (1, 1, *pixels.shape)
    padding = np.isnan(found[0, 0])
    wanted = expected.padding if expected.padding is not None else np.zeros(pixels.shape, bool)
    assert np.array_equal(padding, wanted)
    np.testing.assert_allclose(found[0, 0][~padding], expected.pixels[~padding], atol=1e-3)


def test_a_window_is_applied_if_the_model_was_trained_so(tmp_path):
    path = write_dicom(tmp_path / "image.dcm", WindowCenter=1000, WindowWidth=300)
    found = RADIOGRAPH["read_dicom"](path, "voi")[0, 0]
    expected = read_radiograph(path, presentation="voi").pixels
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99999
    assert not np.array_equal(found, RADIOGRAPH["read_dicom"](path)[0, 0])


def test_several_frames_are_refused(tmp_path):
    path = write_dicom(tmp_path / "image.dcm")
    dataset = dcmread(path)
    dataset.NumberOfFrames = 2
    dataset.PixelData = dataset.PixelData * 2
    dataset.save_as(path)
    with pytest.raises(ValueError, match="one grayscale image"):
        RADIOGRAPH["read_dicom"](path)


@pytest.mark.parametrize("fill_holes", [True, False])
def test_masks_are_cleaned_as_medseg_cleans_them(fill_holes):
    masks = np.random.default_rng(0).random((3, 80, 70)) > 0.45
    masks[2] = False
    names = ["lungs", "heart", "clavicles"]
    components = {"lungs": 2, "clavicles": 2}
    found = RADIOGRAPH["clean"](masks, names, components, fill_holes)
    assert not np.array_equal(found, masks)
    clean_masks(masks, names, components, fill_holes)
    assert np.array_equal(found, masks)


def test_it_needs_no_medseg():
    code = f"import runpy, sys; runpy.run_path({str(SCRIPTS / 'radiograph.py')!r}); sys.exit('medseg' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
