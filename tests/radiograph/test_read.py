import contextlib
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medseg.errors import RadiographError
from medseg.radiograph import Radiograph, build_nifti, read_label_image, read_radiograph
from medseg.radiograph.dicom.read import read_patient
from medseg.radiograph.dicom.seg import is_segmentation
from tests.support.dicom_files import SPACING, encode_lossless_jpeg, phantom, write_dicom
from tests.support.shared_data import SHARED

REAL = SHARED / "dicom"


def write_all(folder: Path) -> list[Path]:
    """The phantom in every format, small enough to be read many hundred times."""
    picture = phantom(48, 40)
    nibabel.save(build_nifti(picture, SPACING), folder / "plain.nii")
    nibabel.save(build_nifti(picture, SPACING), folder / "zipped.nii.gz")
    Image.fromarray(picture).save(folder / "deep.png")
    Image.fromarray(picture).save(folder / "deep.tif")
    Image.fromarray(picture).save(folder / "packed.tif", compression="tiff_lzw")
    Image.fromarray((picture >> 4).astype(np.uint8)).save(folder / "lossy.jpg")
    image = sitk.GetImageFromArray(picture)
    for name in ("a.mha", "a.nrrd"):
        sitk.WriteImage(image, str(folder / name), useCompression=True)
    write_dicom(folder / "plain.dcm", picture, RescaleSlope=1, RescaleIntercept=0, WindowCenter=500, WindowWidth=900)
    write_dicom(folder / "big.dcm", picture, syntax=ExplicitVRBigEndian)
    write_dicom(folder / "deflated.dcm", picture, syntax=DeflatedExplicitVRLittleEndian)
    write_dicom(folder / "rle.dcm", picture, syntax=RLELossless, compress={"encoding_plugin": "pydicom"})
    write_dicom(folder / "jls.dcm", picture, syntax=JPEGLSLossless, compress={"encoding_plugin": "pyjpegls"})
    write_dicom(folder / "j2k.dcm", picture, syntax=JPEG2000Lossless, compress={"encoding_plugin": "pylibjpeg"})
    write_dicom(folder / "jpll.dcm", picture, syntax=JPEGLosslessSV1, frame=encode_lossless_jpeg(picture, 12))
    write_dicom(
        folder / "jpeg.dcm",
        (picture >> 4).astype(np.uint8),
        syntax=JPEGBaseline8Bit,
        frame=(folder / "lossy.jpg").read_bytes(),
    )
    bare = (folder / "plain.dcm").read_bytes()[132:]
    (folder / "bare.dcm").write_bytes(bare)
    return sorted(folder.iterdir())


def test_one_radiograph_in_any_format_gives_equal_arrays(tmp_path):
    radiographs = {path.name: read_radiograph(path) for path in write_all(tmp_path)}
    assert len(radiographs) == 17
    for name, radiograph in radiographs.items():
        assert radiograph.pixels.dtype == np.float32
        assert radiograph.pixels.flags.c_contiguous
        if "lossy" not in name and "jpeg" not in name:
            np.testing.assert_array_equal(radiograph.pixels, phantom(48, 40), err_msg=name)
        if radiograph.spacing_mm and radiograph.kind in ("dicom", "nifti"):
            assert radiograph.spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii", ".mha"])
def test_invert_turns_files_without_polarity(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".nii":
        nibabel.save(build_nifti(phantom(), None), path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(phantom()), str(path))
    np.testing.assert_array_equal(read_radiograph(path, invert=True).pixels, 65535 - phantom())


def test_invert_leaves_dicom_alone(tmp_path):
    np.testing.assert_array_equal(read_radiograph(write_dicom(tmp_path / "a.dcm"), invert=True).pixels, phantom())


@pytest.mark.parametrize("suffix", [".dcm", ".png", ".nii.gz", ".mha"])
def test_name_that_is_not_utf8(tmp_path, suffix):
    written = next(path for path in write_all(tmp_path) if path.name.endswith(suffix))
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9" + suffix.encode()))
    written.rename(path)
    assert isinstance(read_radiograph(path), Radiograph)
    path.write_bytes(b"garbage")
    with pytest.raises(RadiographError) as error:
        read_radiograph(path)
    assert "caf\\xe9" in str(error.value)


@pytest.mark.parametrize(
    "suffix", [".dcm", "", ".nii", ".nii.gz", ".png", ".jpg", ".tif", ".mha", ".nrrd", ".txt", ".dicom"]
)
@pytest.mark.parametrize(
    "content", [b"hello, this is text\n" * 50, bytes(1000), b"\xff" * 1000, np.random.default_rng(0).bytes(3000), b"x"]
)
def test_garbage_is_refused_and_named(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(RadiographError, match=f"bad{suffix}: "):
        read_radiograph(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("presentation", "invert", "color"), [("stored", False, "grey"), ("voi", True, "grey"), ("stored", False, "rgb")]
)
def test_damaged_files_raise_nothing_else(tmp_path, presentation, invert, color):
    paths = write_all(tmp_path)
    random = np.random.default_rng(20 + (color == "rgb") + 2 * invert)
    outcomes = {"read": 0, "refused": 0}
    bad = tmp_path / "bad"
    for path in paths:
        whole = path.read_bytes()
        for trial in range(16):
            damaged = bytearray(whole)
            if trial % 4 == 3:
                del damaged[random.integers(1, len(damaged)) :]
            else:  # most of what matters stands in the first kilobyte
                reach = len(damaged) if trial % 2 else min(len(damaged), 1500)
                for position in random.integers(0, reach, random.integers(1, 12)):
                    damaged[position] = random.integers(256)
            bad.with_suffix(path.suffix).write_bytes(damaged)
            text = str(bad)
            try:
                read_radiograph(bad.with_suffix(path.suffix), presentation=presentation, invert=invert, color=color)
                outcomes["read"] += 1
            except RadiographError as error:
                text = str(error)
                outcomes["refused"] += 1
            assert text.startswith(str(bad))
            assert "secret" not in text.lower()
            for reader in (read_label_image, read_patient, is_segmentation):
                with contextlib.suppress(RadiographError):
                    reader(bad.with_suffix(path.suffix))
    assert sum(outcomes.values()) == 17 * 16
    assert min(outcomes.values()) > 20


def test_import_is_light():
    heavy = {"torch", "monai", "highdicom", "SimpleITK", "nibabel", "scipy"}
    code = f"import sys, medseg.radiograph; print({heavy!r} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


def oracle(path: Path) -> np.ndarray:
    """Stored values by SimpleITK, which turns MONOCHROME1 round after the rescale (and knows no modality LUT)."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]


@pytest.mark.shared
@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data/dicom")
class TestRealFiles:
    """What others wrote; nothing of it is kept in this repository."""

    # spacing and its source by hand from a dump of the tags
    READ = {  # noqa: RUF012
        "CR_1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819": ((0.168, 0.168), "unspecified", True),
        "CR_CR-ModalitySequenceLUT": ((0.15, 0.15), "detector", False),
        "CR_NM_Kakadu44_SOTmarkerincons": ((0.115, 0.115), "detector", False),
        "CR_RG1_J2KI": (None, "none", True),
        "CR_RG2_JLSL": ((0.2, 0.2), "unspecified", False),
        "CR_RG2_JPLL": ((0.2, 0.2), "unspecified", False),
        "CR_RG2_JPLY_fixed": ((0.2, 0.2), "unspecified", True),
        "CR_RG3_J2KR": (None, "none", False),
        "CR_RG3_JPLL": (None, "none", False),
        "CR_RG3_RLE": (None, "none", False),
        "DX_966_fixed": ((0.16, 0.16), "detector", False),
        "MG_GH133": ((0.09409090909091,) * 2, "magnification", False),
        "MG_OutOfBoundsOverlay": ((0.085 / 1.0433386837881,) * 2, "magnification", False),
        "XA_XA1_JLSL": (None, "none", False),
    }

    @pytest.mark.slow
    @pytest.mark.parametrize("name", READ)
    def test_is_read(self, name):
        spacing, source, lossy = self.READ[name]
        radiograph = read_radiograph(REAL / f"{name}.dcm")
        assert radiograph.spacing_mm == (pytest.approx(spacing) if spacing else None)
        assert (radiograph.spacing_source, radiograph.lossy) == (source, lossy)
        assert radiograph.modality == name[:2]

    @pytest.mark.slow
    @pytest.mark.parametrize("name", [name for name in READ if "Modality" not in name])
    def test_pixels_equal_those_of_simpleitk(self, name):
        path = REAL / f"{name}.dcm"
        pixels = read_radiograph(path).pixels
        theirs = oracle(path).astype(np.float32)
        # SimpleITK turns MONOCHROME1 round over another range: the difference is one constant
        inverse = sitk.ReadImage(str(path)).GetMetaData("0028|0004").strip() == "MONOCHROME1"
        offset = float(pixels[0, 0] - theirs[0, 0]) if inverse else 0.0
        tolerance = 1 if radiograph_is_dct(path) else 0
        assert np.abs(pixels - theirs - offset).max() <= tolerance

    def test_modality_lut_by_hand(self):
        import pydicom

        path = REAL / "CR_CR-ModalitySequenceLUT.dcm"
        item = pydicom.dcmread(path, stop_before_pixels=True).ModalityLUTSequence[0]
        entries = np.frombuffer(item.LUTData, "<u2")
        count, first, _ = item.LUTDescriptor
        stored = 1023 - oracle(path).astype(int)  # ten bits, turned round by SimpleITK
        expected = entries[np.clip(stored - first, 0, count - 1)]
        reachable = entries[np.clip(np.arange(1024) - first, 0, count - 1)]
        np.testing.assert_array_equal(
            read_radiograph(path).pixels, int(reachable.min()) + int(reachable.max()) - expected.astype(int)
        )

    def test_lossy_and_lossless_twin_agree(self):
        lossy, lossless = (read_radiograph(REAL / f"CR_RG2_{name}.dcm").pixels for name in ("JPLY_fixed", "JPLL"))
        assert np.abs(lossy - lossless).mean() < 4
        assert np.corrcoef(lossy.ravel(), lossless.ravel())[0, 1] > 0.999

    def test_three_coats_of_one_picture_agree(self):
        first, *others = (read_radiograph(REAL / f"CR_RG3_{name}.dcm").pixels for name in ("RLE", "JPLL", "J2KR"))
        for other in others:
            np.testing.assert_array_equal(first, other)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "reason"), [("DX_966", "JPEG 2000 .* cannot be decoded"), ("CR_chrJapMulti", "has no pixel data")]
    )
    def test_is_refused_with_its_reason(self, name, reason):
        with pytest.raises(RadiographError, match=f"{name}.dcm: .*{reason}"):
            read_radiograph(REAL / f"{name}.dcm")


def radiograph_is_dct(path: Path) -> bool:
    return "8323329" in path.name or "JPLY" in path.name
