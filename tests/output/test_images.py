import gzip
import io
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medseg.errors import StorageError
from medseg.output import images
from medseg.output.images import write_mask_nifti, write_mask_png
from medseg.phantom.chest import draw_phantom
from medseg.radiograph import read_radiograph

MASK = np.zeros((5, 9), bool)
MASK[1, 7] = MASK[3, 2:5] = True


@pytest.fixture(scope="module")
def lungs() -> np.ndarray:
    return draw_phantom(np.random.default_rng(3), 512).masks["lungs"]


class TestPng:
    def test_mask_is_0_and_255_with_rows_first(self, tmp_path: Path) -> None:
        write_mask_png(tmp_path / "deep" / "mask.png", MASK)
        read = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "deep" / "mask.png")))
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, MASK * 255)

    def test_says_what_wrote_it_and_what_it_is_for(self, tmp_path: Path) -> None:
        write_mask_png(tmp_path / "mask.png", MASK)
        with Image.open(tmp_path / "mask.png") as picture:
            assert picture.mode == "L"
            assert picture.text == {
                "Software": "medseg",
                "Description": "Research use only. Not for clinical use.",
            }

    def test_the_same_mask_makes_the_same_bytes(self, tmp_path: Path, lungs: np.ndarray) -> None:
        for name in ("a.png", "b.png"):
            write_mask_png(tmp_path / name, lungs)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_is_smaller_than_pillow_makes_it(self, tmp_path: Path, lungs: np.ndarray) -> None:
        write_mask_png(tmp_path / "mask.png", lungs)
        usual = io.BytesIO()
        Image.fromarray(lungs.astype(np.uint8) * 255).save(usual, "PNG")
        assert (tmp_path / "mask.png").stat().st_size < len(usual.getvalue())


class TestNifti:
    def test_pixels_affine_and_spacing_as_simpleitk_reads_them(self, tmp_path: Path) -> None:
        write_mask_nifti(tmp_path / "deep" / "mask.nii.gz", MASK, (0.2, 0.125))
        read = sitk.ReadImage(str(tmp_path / "deep" / "mask.nii.gz"))
        assert read.GetPixelIDTypeAsString() == "8-bit unsigned integer"
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read), MASK)
        assert read.GetSpacing() == pytest.approx((0.125, 0.2))
        assert read.GetDirection() == (1, 0, 0, 1)  # as of a PNG: to the left and to the back

    def test_affine_in_the_header(self, tmp_path: Path) -> None:
        write_mask_nifti(tmp_path / "mask.nii.gz", MASK, (0.25, 0.125))
        np.testing.assert_array_equal(nibabel.load(tmp_path / "mask.nii.gz").affine, np.diag([-0.125, -0.25, 1, 1]))

    def test_unknown_spacing_stays_unknown(self, tmp_path: Path) -> None:
        write_mask_nifti(tmp_path / "mask.nii.gz", MASK, None)
        radiograph = read_radiograph(tmp_path / "mask.nii.gz")
        assert radiograph.spacing_mm is None
        np.testing.assert_array_equal(radiograph.pixels, MASK)

    def test_says_what_wrote_it_and_what_it_is_for(self, tmp_path: Path) -> None:
        write_mask_nifti(tmp_path / "mask.nii.gz", MASK, None)
        assert nibabel.load(tmp_path / "mask.nii.gz").header["descrip"] == b"medseg; research use only"

    def test_the_same_mask_makes_the_same_bytes_without_name_or_time(self, tmp_path: Path) -> None:
        for name in ("a.nii.gz", "b.nii.gz"):
            write_mask_nifti(tmp_path / name, MASK, (0.2, 0.125))
        content = (tmp_path / "a.nii.gz").read_bytes()
        assert content == (tmp_path / "b.nii.gz").read_bytes()
        assert content[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"  # RFC 1952: deflate, no flags, no time

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda content: content[:-20],
            lambda content: b"",
            lambda content: b"\0" * len(content),
            lambda content: gzip.compress(gzip.decompress(content)[:-1] + b"\1"),
            lambda content: gzip.compress(gzip.decompress(content).replace(np.float32(0.125).tobytes(), b"\0\0\0\x40")),
        ],
    )
    def test_a_file_that_reads_back_other_is_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil
    ) -> None:
        @contextmanager
        def failing_disk(path: Path):
            file = io.BytesIO()
            yield file
            path.write_bytes(spoil(file.getvalue()))

        monkeypatch.setattr(images, "open_atomically", failing_disk)
        with pytest.raises(
            StorageError, match=r"mask\.nii\.gz: verification failed: the file differs from what was written"
        ):
            write_mask_nifti(tmp_path / "mask.nii.gz", MASK, (0.2, 0.125))
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match=r"mask\.nii\.gz: could not be written"):
            write_mask_nifti(tmp_path / "file" / "mask.nii.gz", MASK, None)
