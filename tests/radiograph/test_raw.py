import numpy as np
import pytest

from medseg.errors import RadiographError
from medseg.radiograph import read_label_image, read_radiograph
from tests.support.dicom_files import phantom

DENSE = phantom(2048, 2048)


def write_raw(path, values, order=">"):
    path.write_bytes(values.astype(f"{order}u2").tobytes())
    return path


@pytest.mark.parametrize("name", ["JPCLN001.IMG", "a.img"])
@pytest.mark.parametrize("invert", [False, True])
def test_raw_image_of_jsrt_is_bright_where_the_body_is_dense(tmp_path, name, invert):
    """The files store optical density: 0 is white on the film, 4095 black."""
    radiograph = read_radiograph(write_raw(tmp_path / name, 4095 - DENSE), invert=invert)
    np.testing.assert_array_equal(radiograph.pixels, DENSE)
    assert (radiograph.kind, radiograph.spacing_mm, radiograph.spacing_source) == ("img", (0.175, 0.175), "film")
    assert (radiograph.lossy, radiograph.warnings) == (False, ())


def test_another_size_or_name_is_no_raw_image(tmp_path):
    for path in (write_raw(tmp_path / "a.IMG", DENSE[1:]), write_raw(tmp_path / "a.raw", DENSE)):
        with pytest.raises(RadiographError, match="is not in a supported format"):
            read_radiograph(path)


def test_values_of_more_bits_are_another_byte_order(tmp_path):
    with pytest.raises(
        RadiographError, match=r"contains the value \d+, but raw JSRT images are big-endian with values up to 4095"
    ):
        read_radiograph(write_raw(tmp_path / "a.IMG", DENSE, "<"))


@pytest.mark.parametrize("header", ["a.hdr", "a.HDR"])
def test_half_of_a_pair_is_not_taken_for_one(tmp_path, header):
    (tmp_path / header).write_bytes(bytes(348))
    with pytest.raises(RadiographError, match="half of an Analyze or NIfTI pair"):
        read_radiograph(write_raw(tmp_path / "a.img", DENSE))


def test_raw_image_is_no_mask(tmp_path):
    with pytest.raises(RadiographError, match="is a raw JSRT image, not a mask"):
        read_label_image(write_raw(tmp_path / "a.IMG", DENSE))
