import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import JPEG2000

from medseg.errors import RadiographError
from medseg.radiograph import binarize, build_nifti, read_label_image
from medseg.radiograph.channels import TRANSPARENT
from tests.support.dicom_files import SPACING, phantom, write_dicom
from tests.support.raster_files import write_png

LABELS = (phantom() // 1200).astype(np.uint8)  # 0 to 3
MASK = LABELS == 2


def save(path, values):
    match path.suffix:
        case ".nii":
            nibabel.save(build_nifti(values, SPACING), path)
        case ".mha" | ".nrrd":
            sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
        case ".dcm":
            write_dicom(path, values)
        case _:
            Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.nii", "a.mha", "a.nrrd", "a.dcm"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_are_read_as_stored(tmp_path, name, dtype):
    label = read_label_image(save(tmp_path / name, LABELS.astype(dtype)))
    np.testing.assert_array_equal(label.values, LABELS)
    assert label.values.dtype.kind in "iu"
    assert not label.lossy


@pytest.mark.parametrize(("bits", "labels"), [(1, LABELS >> 1), (2, LABELS), (4, LABELS + 9)])
@pytest.mark.parametrize("color_type", [0, 3])
def test_shallow_and_palette_pngs_give_the_values_of_the_file(tmp_path, bits, labels, color_type):
    chunks = {"PLTE": bytes(range(3 * 2**bits))} if color_type == 3 else {}
    label = read_label_image(write_png(tmp_path / "a.png", labels, bits, color_type, **chunks))
    np.testing.assert_array_equal(label.values, labels)


def test_colors_of_a_palette_by_label_value(tmp_path):
    image = Image.fromarray(LABELS)
    image.putpalette([0, 0, 0, 128, 0, 0, 7, 7, 7, 7, 7, 7])
    for name in ("a.png", "a.gif", "a.tif"):
        image.save(tmp_path / name)
        assert read_label_image(tmp_path / name).colors == {0: (0, 0, 0), 1: (128, 0, 0)}
    assert read_label_image(save(tmp_path / "gray.png", LABELS)).colors == {}


def test_equal_channels_are_gray_and_others_are_packed_colors(tmp_path):
    save(tmp_path / "a.png", np.stack([LABELS] * 3, axis=2))
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png").values, LABELS)
    save(tmp_path / "b.png", np.stack([LABELS, LABELS, LABELS * 2], axis=2))
    label = read_label_image(tmp_path / "b.png")
    assert label.is_color
    np.testing.assert_array_equal(label.values, LABELS.astype(int) * 0x010102)
    assert not read_label_image(tmp_path / "a.png").is_color


def read_colors(path):
    label = read_label_image(path, as_colors=True)
    assert label.is_color
    return label.values


def test_files_of_any_kind_as_colors(tmp_path):
    gray = LABELS.astype(int) * 0x010101
    for name in ("a.png", "a.bmp", "a.tif", "a.nii", "a.mha", "a.dcm"):
        np.testing.assert_array_equal(read_colors(save(tmp_path / name, LABELS)), gray)
    np.testing.assert_array_equal(read_colors(save(tmp_path / "1.png", LABELS == 2)), (LABELS == 2) * 0xFFFFFF)
    shallow = write_png(tmp_path / "2.png", LABELS, 2, 0)
    np.testing.assert_array_equal(read_colors(shallow), LABELS.astype(int) * 0x555555)
    image = Image.fromarray(LABELS)
    image.putpalette([9, 8, 7, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    for name in ("b.png", "b.gif", "b.bmp", "b.tif"):
        image.save(tmp_path / name)
        expected = np.array([0x090807, 0xFF0000, 0x00FF00, 0x0000FF])[LABELS]
        np.testing.assert_array_equal(read_colors(tmp_path / name), expected)


@pytest.mark.parametrize("factor", [256, 257])
def test_colors_of_16_bits(tmp_path, factor):
    colors = np.stack([LABELS, LABELS * 2, LABELS * 9], axis=2).astype(np.uint16)
    path = write_png(tmp_path / "a.png", colors * factor, 16, 2)
    for values in (read_colors(path), read_label_image(path).values):
        np.testing.assert_array_equal(values, LABELS.astype(int) * 0x010209)
    sitk.WriteImage(sitk.GetImageFromArray(colors * factor, isVector=True), str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(read_colors(tmp_path / "a.tif"), LABELS.astype(int) * 0x010209)
    save(tmp_path / "b.png", LABELS.astype(np.uint16) * factor)
    np.testing.assert_array_equal(read_colors(tmp_path / "b.png"), LABELS.astype(int) * 0x010101)


def test_levels_that_are_no_colors_are_refused(tmp_path):
    with pytest.raises(RadiographError, match=r"a\.png: has 16-bit colors that 8 bits cannot state\. Save the mask"):
        read_colors(save(tmp_path / "a.png", LABELS.astype(np.uint16)))
    with pytest.raises(RadiographError, match=r"a\.nii: has levels from 0 to 300 of type uint16, but colors are whole"):
        read_colors(save(tmp_path / "a.nii", LABELS.astype(np.uint16) * 100))


def test_transparency_of_colors(tmp_path):
    layer = np.zeros((*LABELS.shape, 4), np.uint8)
    layer[LABELS == 1], layer[LABELS == 2], layer[LABELS == 3] = (1, 2, 3, 255), (4, 5, 6, 199), (7, 8, 9, 0)
    expected = np.array([TRANSPARENT, 0x010203, 0x040506, TRANSPARENT])[LABELS]
    for read in (read_colors, lambda path: read_label_image(path).values):
        np.testing.assert_array_equal(read(save(tmp_path / "a.png", layer)), expected)
    layer[LABELS == 3] = (4, 5, 6, 198)
    with pytest.raises(RadiographError, match=r"soft edges: pixels of one color differ in transparency\. Save"):
        read_colors(save(tmp_path / "b.png", layer))


def test_dicom_mask_is_never_inverted_or_rescaled(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm", LABELS, PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=1
    )
    np.testing.assert_array_equal(read_label_image(path).values, LABELS)


def test_lossy_kinds_are_marked(tmp_path):
    assert read_label_image(save(tmp_path / "a.jpg", LABELS * 80)).lossy
    options = {"encoding_plugin": "pylibjpeg", "j2k_psnr": [80]}
    assert read_label_image(write_dicom(tmp_path / "a.dcm", phantom(), syntax=JPEG2000, compress=options)).lossy


def test_empty_mask_is_read(tmp_path):
    assert not read_label_image(save(tmp_path / "a.png", np.zeros((9, 9), np.uint8))).values.any()


def test_labels_that_are_not_finite_are_refused(tmp_path):
    values = np.where(MASK, np.nan, 0).astype(np.float32)
    with pytest.raises(RadiographError, match="NaN or infinite"):
        read_label_image(save(tmp_path / "a.nii", values))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (1, 2), (254, 255), (0, 38)])
def test_two_levels_are_background_and_foreground_whatever_they_are(tmp_path, low, high):
    path = save(tmp_path / "a.png", np.where(MASK, high, low).astype(np.uint8))
    np.testing.assert_array_equal(binarize(read_label_image(path)), MASK)


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif", "a.bmp"])
@pytest.mark.parametrize("colors", [2, 4, 8, 256])
@pytest.mark.parametrize("method", [Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE, Image.Quantize.FASTOCTREE])
def test_black_of_a_palette_is_background(tmp_path, name, colors, method):
    for mask in (MASK, ~MASK):
        drawn = Image.fromarray(np.where(mask[:, :, None], (0, 128, 0), 0).astype(np.uint8))
        drawn.quantize(colors, method).save(tmp_path / name)
        np.testing.assert_array_equal(binarize(read_label_image(tmp_path / name)), mask)


def test_one_black_level_is_background(tmp_path):
    image = Image.fromarray(np.ones((9, 9), np.uint8))
    image.putpalette([255, 255, 255, 0, 0, 0, 7, 7, 7])
    image.save(tmp_path / "a.png")
    assert not binarize(read_label_image(tmp_path / "a.png")).any()


@pytest.mark.parametrize(("level", "expected"), [(0, False), (1, True), (255, True)])
def test_one_level_is_all_background_or_all_foreground(tmp_path, level, expected):
    path = save(tmp_path / "a.png", np.full((9, 9), level, np.uint8))
    mask = binarize(read_label_image(path))
    assert mask.dtype == bool
    assert mask.all() == mask.any() == expected


def test_more_levels_are_cut_at_half(tmp_path):
    blocks = np.kron(MASK[::8, ::8], np.ones((8, 8), bool))  # a JPEG keeps its own 8 x 8 blocks apart
    path = save(tmp_path / "a.jpg", np.where(blocks, 235, 15).astype(np.uint8))
    label = read_label_image(path)
    noisy = type(label)(label.values.astype(int) + np.arange(80) % 3, None, "jpeg", True)
    np.testing.assert_array_equal(binarize(noisy), blocks)


def test_fractions_are_cut_at_half():
    from medseg.radiograph import LabelImage

    label = LabelImage(np.array([[0.0, 0.4, 0.6, 1.0]]), None, "nifti", False)
    np.testing.assert_array_equal(binarize(label), [[False, False, True, True]])
