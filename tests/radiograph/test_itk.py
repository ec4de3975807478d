import gzip
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from tests.support.dicom_files import SPACING, phantom


def write(path, pixels=None, spacing=SPACING[::-1], direction=(1, 0, 0, 1), compress=False):
    picture = sitk.GetImageFromArray(phantom() if pixels is None else pixels)
    picture.SetSpacing((*spacing, 1)[: picture.GetDimension()])
    if picture.GetDimension() == 2:
        picture.SetDirection(direction)
    sitk.WriteImage(picture, str(path), compress)
    return path


def cut_lines(path, *starts):
    head, *rest = path.read_bytes().split(b"\n")
    kept = [line for line in rest if not line.startswith(starts)]
    path.write_bytes(b"\n".join([head, *kept]))
    return path


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_read_back_equal(tmp_path, name, compress, dtype):
    pixels = (phantom() >> 4).astype(dtype)
    radiograph = read_radiograph(write(tmp_path / name, pixels, compress=compress))
    np.testing.assert_array_equal(radiograph.pixels, pixels)
    assert radiograph.spacing_mm == pytest.approx(SPACING)
    assert (radiograph.spacing_source, radiograph.kind) == ("file", name[2:])


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_one_slice_of_three_dimensions(tmp_path, name):
    radiograph = read_radiograph(write(tmp_path / name, phantom()[None]))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize(
    ("direction", "turned", "spacing"),
    [
        ((-1, 0, 0, 1), lambda picture: picture[:, ::-1], SPACING),
        ((1, 0, 0, -1), lambda picture: picture[::-1], SPACING),
        ((0, 1, 1, 0), lambda picture: picture.T, SPACING[::-1]),
    ],
)
def test_directions_are_respected(tmp_path, name, direction, turned, spacing):
    radiograph = read_radiograph(write(tmp_path / name, direction=direction))
    np.testing.assert_array_equal(radiograph.pixels, turned(phantom()))
    assert radiograph.spacing_mm == pytest.approx(spacing)


@pytest.mark.parametrize(("name", "fields"), [("a.mha", (b"ElementSpacing",)), ("a.nrrd", (b"space", b"kinds"))])
def test_spacing_that_the_header_does_not_state_is_none(tmp_path, name, fields):
    radiograph = read_radiograph(cut_lines(write(tmp_path / name), *fields))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert (radiograph.spacing_mm, radiograph.spacing_source) == (None, "none")


START = "ObjectType = Image\nNDims = 2\n"
SMALL = f"{START}DimSize = 9 9\nElementType = MET_UCHAR\n"
NRRD = "NRRD0004\ntype: uint8\ndimension: 2\nencoding: raw\n"


MM = (0.35, 0.2)
"""Of rows and of columns."""


@pytest.mark.parametrize(
    ("fields", "spacing"),
    [
        ("spacings: 0.2 0.35", MM),
        ('spacings: 0.2 0.35\nunits: "mm" "mm"', MM),
        ('spacings: 0.02 0.035\nunits: "cm" "cm"', MM),
        ('space dimension: 2\nspace directions: (200,0) (0,350)\nspace units: "um" "\u00b5m"', None),
        ('space dimension: 2\nspace directions: (200,0) (0,350)\nspace units: "\u00b5m" "\u00b5m"', MM),
        ('spacings: 0.2 0.35\nunits: "pixel" "pixel"', None),
        ("spacings: nan nan", None),
        ("spacings: NaN 0.35", None),
        ("space dimension: 2\nspace directions: none none", None),
    ],
)
def test_spacing_of_a_nrrd_is_in_mm_or_unknown(tmp_path, fields, spacing):
    head = f"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 8 6\nencoding: raw\n{fields}\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + bytes(range(48)))
    radiograph = read_radiograph(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(radiograph.pixels, np.arange(48).reshape(6, 8))
    assert radiograph.spacing_mm == (None if spacing is None else pytest.approx(spacing))
    assert radiograph.warnings == (("the NRRD header has no usable spacing",) if spacing is None else ())


def test_negative_spacing_of_an_mha_is_none(tmp_path):
    head = "NDims = 2\nDimSize = 8 6\nElementType = MET_UCHAR\nElementSpacing = -0.2 0.35\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(head.encode() + bytes(range(48)))
    radiograph = read_radiograph(tmp_path / "a.mha")
    np.testing.assert_array_equal(radiograph.pixels, np.arange(48).reshape(6, 8)[:, ::-1])  # as ITK shows it
    assert radiograph.spacing_mm is None
    assert radiograph.warnings == ("the MHA header has no usable spacing",)


@pytest.mark.parametrize(("name", "header", "reason"), [
    ("a.mha", f"{SMALL}ElementDataFile = /etc/passwd\n", "another file"),
    ("a.mha", f"{SMALL}ElementDataFile = LIST\n", "another file"),
    ("a.mha", START, "no MetaImage header"),
    ("a.mha", f"{START}DimSize = 60000 60000\nElementDataFile = LOCAL\n", "claims 60000 x 60000"),
    ("a.mha", "ObjectType = Image\nNDims = 3\nDimSize = 6 6 6\nElementDataFile = LOCAL\n", "has 6 x 6 x 6 pixels"),
    ("a.mha", "ObjectType = Image\nElementDataFile = LOCAL\n", "has no pixels"),
    ("a.mha", f"{SMALL}ElementDataFile = LOCAL\n1", "not a readable MHA"),
    ("a.nrrd", f"{NRRD}sizes: 2 2\ndata file: /etc/passwd\n\n", "another file"),
    ("a.nrrd", f"{NRRD}sizes: 2 2\ndatafile: LIST\n\n", "another file"),
    ("a.nrrd", f"{NRRD}sizes: 60000 60000\n\n", "claims 60000 x 60000"),
    ("a.nrrd", "NRRD0004\ntype: uint8\n\n", "has no pixels"),
    ("a.nrrd", "NRRD0004\ntype: uint8", "without an end"),
])  # fmt: skip
def test_unsafe_or_broken_headers_are_refused(tmp_path, name, header, reason):
    (tmp_path / name).write_text(header)
    with pytest.raises(RadiographError, match=reason):
        read_radiograph(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("back", [1, 50, 3000])
def test_damaged_compression_is_refused(tmp_path, name, back):
    path = write(tmp_path / name, compress=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: -back - 3])
    with pytest.raises(RadiographError):
        read_radiograph(path)
    flipped = bytearray(whole)
    flipped[-back - (name == "a.nrrd") * 2] ^= 0x55
    path.write_bytes(flipped)
    with pytest.raises(RadiographError):
        read_radiograph(path)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_color_is_refused(tmp_path, name):
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([phantom()] * 3, axis=2), isVector=True), str(path))
    with pytest.raises(RadiographError, match=r"several values per pixel|one slice is needed"):
        read_radiograph(path)


def test_name_that_is_not_utf8(tmp_path):
    import os

    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mha")
    os.rename(write(tmp_path / "a.mha"), path)  # noqa: PTH104
    np.testing.assert_array_equal(read_radiograph(path).pixels, phantom())


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("more", [-1000, 1000])
def test_data_that_inflate_to_another_size_are_refused(tmp_path, name, more):
    # ITK reads such an MHA without complaint: the picture is memory that nothing was written into
    path = write(tmp_path / name, compress=True)
    head = path.read_bytes().partition(b"LOCAL\n" if name == "a.mha" else b"\n\n")
    data = bytes(phantom().nbytes + more)
    path.write_bytes(b"".join(head[:2]) + (zlib.compress(data) if name == "a.mha" else gzip.compress(data)))
    with pytest.raises(
        RadiographError, match=f"compressed data have {len(data)} bytes, but 15360 are needed|not a readable"
    ):
        read_radiograph(path)


@pytest.mark.parametrize("encoding", ["ascii", "hex", "bzip2", ""])
def test_other_encodings_of_a_nrrd_are_refused(tmp_path, encoding):
    (tmp_path / "a.nrrd").write_text(
        f"NRRD0004\ntype: uint8\ndimension: 2\nencoding: {encoding}\nsizes: 2 2\n\n1 2 3 4"
    )
    with pytest.raises(RadiographError, match="only raw and gzip are supported"):
        read_radiograph(tmp_path / "a.nrrd")
