import gzip
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import nibabel
import numpy as np
import pytest

from medseg.metrics.cardiothoracic import measure_ctr
from medseg.output.config import DRAWN, Format
from medseg.output.drawing import write_png
from medseg.output.images import write_mask_nifti, write_mask_png
from medseg.output.writers import (
    RESULTS,
    WRITERS,
    Results,
    Source,
    Writer,
    is_own_result,
    list_modules,
    name_outputs,
    take_sources,
)
from medseg.radiograph import identify_kind, read_radiograph
from tests.support.dicom_files import write_dicom

MASK = np.zeros((5, 9), bool)
MASK[1, 7] = MASK[3, 2:5] = True
CLASSES = ("lungs", "heart")


def is_own(path: Path, kind: str) -> bool:
    with path.open("rb") as file:
        return is_own_result(file, kind)


def take(name: str, path: Path, **changes: object) -> tuple[object, list[str]]:
    """The data that a format takes from the file at `path`, and the warnings."""
    warnings: list[str] = []
    reading = {"presentation": changes.pop("presentation", "stored")}
    with path.open("rb") as file:
        burned_in = bool(changes.pop("burned_in", False))
        source = Source(file, read_radiograph(file, **reading), reading, burned_in, path.name)
        return WRITERS[name].take(source, warnings), warnings


@pytest.fixture
def results(tmp_path: Path) -> Callable[[str], Results]:
    """Input of a writer: a chest image of 96 x 80 pixels."""
    path = write_dicom(tmp_path / "source.dcm")
    masks = np.zeros((2, 96, 80), bool)
    masks[0, 10:80, 10:28] = masks[0, 10:80, 52:70] = masks[1, 50:76, 28:58] = True
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    made_by = ("0" * 16, "1" * 16, "2" * 64, moment)
    own = Results(masks, CLASSES, (0.2, 0.1), [measure_ctr(*masks)], None, *made_by)
    return lambda name: replace(own, taken=take(name, path)[0])


class TestTable:
    def test_formats_of_the_settings_are_the_entries(self) -> None:
        assert list(get_args(Format)) == list(WRITERS)

    def test_names_of_results(self) -> None:
        names = {"png/heart/ab.png", "nifti/heart/ab.nii.gz", "seg/ab.dcm", "overlay/ab.png"}
        drawn = {f"{name}/ab{extension}" for name, extension in DRAWN.items()}
        assert name_outputs(("heart",), "ab") == names | drawn

    def test_folders_of_results_hold_all_of_them(self, tmp_path: Path) -> None:
        folders = {(tmp_path / name).parent for name in name_outputs(CLASSES, "ab")}
        for folder in folders:
            folder.mkdir(parents=True)
        assert {found for pattern in RESULTS for found in tmp_path.glob(pattern)} == folders

    def test_workers_import_what_is_slow_only_where_it_is_asked_for(self) -> None:
        assert list_modules(("png", "nifti", "overlay")) == []
        assert list_modules(("png", "seg")) == ["medseg.output.dicom_seg"]

    @pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
    def test_each_entry_writes_each_of_its_files(
        self, tmp_path: Path, results: Callable[[str], Results], writer: Writer
    ) -> None:
        own = results(writer.name)
        assert writer.refuse((96, 80)) is None
        files = writer.name_files(CLASSES, "ab")
        assert [name for part in files.values() for name in CLASSES[part]] == [*CLASSES]
        for name, part in files.items():
            writer.write(tmp_path / name, replace(own, masks=own.masks[part], classes=CLASSES[part]))
            if writer.kind:
                assert writer.kind == identify_kind(tmp_path / name)
                assert is_own(tmp_path / name, writer.kind)

    def test_nifti_has_sides_of_at_most_15_bits(self) -> None:
        assert WRITERS["nifti"].refuse((100, 32767)) is None
        assert WRITERS["nifti"].refuse((100, 32768)) == ("no NIfTI: the format allows at most 32767 pixels a side")


class TestSources:
    def test_formats_that_cannot_be_written_are_left_out(self, tmp_path: Path) -> None:
        write_png(tmp_path / "a.png", np.arange(64, dtype=np.uint8).reshape(8, 8))
        warnings: list[str] = []
        with (tmp_path / "a.png").open("rb") as file:
            source = Source(file, read_radiograph(file), {"presentation": "stored"}, burned_in=False, name="a")
            taken = take_sources(("nifti", "overlay", "png", "seg"), source, warnings)
        assert list(taken) == ["nifti", "overlay", "png"]
        assert warnings == ["no SEG: the source is not a DICOM file"]

    def test_a_seg_needs_a_dicom_file(self, tmp_path: Path) -> None:
        write_png(tmp_path / "a.png", np.arange(64, dtype=np.uint8).reshape(8, 8))
        assert take("seg", tmp_path / "a.png") == (None, ["no SEG: the source is not a DICOM file"])

    def test_a_seg_needs_whom_to_refer_to(self, tmp_path: Path) -> None:
        path = write_dicom(tmp_path / "a.dcm", StudyInstanceUID=None)
        assert take("seg", path) == (None, ["no SEG: StudyInstanceUID is missing or not valid"])

    def test_an_overlay_shows_no_burned_in_annotation_unless_it_may(self, tmp_path: Path) -> None:
        path = write_dicom(tmp_path / "a.dcm", BurnedInAnnotation="YES")
        assert take("overlay", path) == (None, ["no overlay: BurnedInAnnotation is YES"])
        preview, warnings = take("overlay", path, burned_in=True)
        assert (preview is not None, warnings) == (True, [])

    def test_an_overlay_shows_the_voi_step(self, tmp_path: Path) -> None:
        path = write_dicom(tmp_path / "a.dcm", WindowCenter=500, WindowWidth=2)
        for presentation in ("stored", "voi"):
            assert set(np.unique(take("overlay", path, presentation=presentation)[0])) == {0, 255}

    def test_an_overlay_goes_without_the_voi_step_where_that_leaves_nothing(self, tmp_path: Path) -> None:
        lost = {"RescaleSlope": -1, "RescaleIntercept": 0, "WindowCenter": 2048, "WindowWidth": 4096}
        preview, (warning,) = take("overlay", write_dicom(tmp_path / "a.dcm", **lost))
        assert preview is not None
        assert warning.startswith("the overlay was drawn without the VOI transformation: with it, every pixel")


class TestOwnResults:
    @pytest.fixture
    def own(self, tmp_path: Path) -> dict[str, Path]:
        write_mask_png(tmp_path / "mask.png", MASK)
        write_mask_nifti(tmp_path / "mask.nii.gz", MASK, None)
        (tmp_path / "mask.nii").write_bytes(gzip.decompress((tmp_path / "mask.nii.gz").read_bytes()))
        return {"png": tmp_path / "mask.png", "gz": tmp_path / "mask.nii.gz", "nii": tmp_path / "mask.nii"}

    def test_masks_are_recognized(self, own: dict[str, Path]) -> None:
        assert [is_own(own["png"], "png"), is_own(own["gz"], "nifti"), is_own(own["nii"], "nifti")] == [True] * 3

    def test_wherever_the_file_was_read_to(self, own: dict[str, Path]) -> None:
        with own["png"].open("rb") as file:
            file.seek(100)
            assert is_own_result(file, "png")

    def test_other_kinds_are_not(self, own: dict[str, Path]) -> None:
        assert not any(is_own(path, kind) for path in own.values() for kind in ("dicom", "jpeg", "tiff"))

    def test_images_of_others_are_not(self, tmp_path: Path) -> None:
        picture = MASK.astype(np.uint8)
        write_png(tmp_path / "plain.png", picture)
        write_png(tmp_path / "other.png", picture, {"Software": "medsegmenter", "Description": "medseg"})
        nibabel.Nifti1Image(picture, np.eye(4)).to_filename(tmp_path / "other.nii.gz")
        assert not is_own(tmp_path / "plain.png", "png")
        assert not is_own(tmp_path / "other.png", "png")
        assert not is_own(tmp_path / "other.nii.gz", "nifti")

    @pytest.mark.parametrize(("name", "kind"), [("png", "png"), ("gz", "nifti"), ("nii", "nifti")])
    def test_damaged_bytes_do_no_harm(self, own: dict[str, Path], name: str, kind: str) -> None:
        content = own[name].read_bytes()
        rng = np.random.default_rng(0)
        for length in range(len(content)):
            is_own_result(io.BytesIO(content[:length]), kind)
        for _ in range(500):
            spoilt = bytearray(content)
            spoilt[rng.integers(len(content))] = rng.integers(256)
            is_own_result(io.BytesIO(spoilt), kind)
        assert not is_own_result(io.BytesIO(), kind)
        assert not is_own_result(io.BytesIO(rng.bytes(5000)), kind)
        assert not is_own_result(io.BytesIO(b"\x1f\x8b" + rng.bytes(5000)), kind)
