import gzip
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from medseg.errors import RadiographError
from medseg.inference.config import Kind
from medseg.radiograph import build_nifti, identify_kind
from medseg.radiograph.kind import EXTENSIONS, KINDS, identify_content
from medseg.radiograph.read import READERS
from tests.support.dicom_files import phantom, write_dicom

EIGHT = (phantom() >> 4).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "png"), ("a.jpg", "jpeg"), ("a.tif", "tiff"), ("a.gif", "gif"), ("a.bmp", "bmp")]
)
@pytest.mark.parametrize("suffix", ["", ".dcm", ".xyz"])
def test_content_comes_before_the_extension(tmp_path, name, kind, suffix):
    Image.fromarray(EIGHT).save(tmp_path / name)
    (tmp_path / name).rename(tmp_path / f"b{suffix}")
    assert identify_kind(tmp_path / f"b{suffix}") == kind


def test_nifti_plain_and_compressed(tmp_path):
    data = build_nifti(phantom(), None).to_bytes()
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(gzip.compress(data))
    assert identify_kind(tmp_path / "a") == identify_kind(tmp_path / "b") == "nifti"


def test_dicom_with_a_tiff_in_its_preamble_is_dicom(tmp_path):
    path = write_dicom(tmp_path / "a.tif")
    path.write_bytes(b"II*\0" + path.read_bytes()[4:])
    assert identify_kind(path) == "dicom"


def test_words_that_begin_with_bm_are_no_bmp(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"BMI of all patients\n" * 50)
    with pytest.raises(RadiographError, match="is not in a supported format"):
        identify_kind(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("start", "kind"), [(b"NRRD0005\n", "nrrd"), (b"ObjectType = Image\n", "mha"), (b"NDims = 2\n", "mha")]
)
def test_text_headers(tmp_path, start, kind):
    (tmp_path / "a").write_bytes(start)
    assert identify_kind(tmp_path / "a") == kind


@pytest.mark.parametrize(
    ("name", "kind"), [("a.dcm", "dicom"), ("a", "dicom"), ("a.NII.GZ", "nifti"), ("a.PNG", "png")]
)
def test_extension_decides_where_content_says_nothing(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"nothing to go by")
    assert identify_kind(tmp_path / name) == kind


@pytest.mark.parametrize("name", ["a.txt", "a.zip", "a.csv", "a.img"])
def test_unknown_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing to go by")
    with pytest.raises(RadiographError, match=rf"{name}: is not in a supported format: DICOM, NIfTI"):
        identify_kind(tmp_path / name)


def test_every_kind_can_be_asked_for_and_read():
    assert set(KINDS) == set(get_args(Kind))
    assert {"dicom", *READERS} == set(KINDS)


def test_no_name_is_taken_for_two_kinds():
    assert len(set(EXTENSIONS)) == len(EXTENSIONS)


def test_the_formats_that_are_read_are_named_in_full(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"nothing to go by")
    with pytest.raises(RadiographError) as caught:
        identify_kind(tmp_path / "a.txt")
    assert caught.value.reason == (
        "is not in a supported format: DICOM, NIfTI, PNG, JPEG, TIFF, GIF, BMP, MHA, NRRD, NumPy, LabelMe with an "
        "embedded image or the raw .IMG of JSRT"
    )


def test_kinds_that_say_which_end_is_bright():
    assert [kind.name for kind in KINDS.values() if kind.states_polarity] == ["dicom", "img"]


def test_a_tiff_whose_offset_reads_like_nifti_is_a_tiff():
    assert identify_content(b"II*\0n+2\0".ljust(352, b"\0")) == "tiff"
