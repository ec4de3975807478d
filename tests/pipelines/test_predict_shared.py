"""Real radiographs: what is predicted, what is refused, and whether other programs can read the results."""

import csv
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread

from tests.support.model_files import CLASSES, write_model
from tests.support.prediction_command import by_path, predict, read_mask, rows
from tests.support.shared_data import SHARED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the real data of {SHARED}"),
]

CHEST = "CR_1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"
LUT = "CR_CR-ModalitySequenceLUT.dcm"
DONE = (CHEST, LUT, "CR_RG1_J2KI.dcm", "DX_966_fixed.dcm")
REASONS = {
    "DX_966.dcm": "damaged: the JPEG 2000 Image Compression (Lossless Only) image cannot be decoded",
    "CR_chrJapMulti.dcm": "no-pixels: has no pixel data",
    "XA_XA1_JLSL.dcm": "modality: XA is not accepted (CR, DX)",
    "MG_GH133.dcm": "modality: MG is not accepted (CR, DX)",
    "MG_OutOfBoundsOverlay.dcm": "modality: MG is not accepted (CR, DX)",
    "CR_NM_Kakadu44_SOTmarkerincons.dcm": "body-part: HAND is not accepted (CHEST)",
    **{f"CR_RG2_{name}.dcm": "body-part: HIP is not accepted (CHEST)" for name in ("JLSL", "JPLL", "JPLY_fixed")},
    **{f"CR_RG3_{name}.dcm": "body-part: EXTREMITY is not accepted (CHEST)" for name in ("J2KR", "JPLL", "RLE")},
    "index.csv": "not-an-image:",
}
BROKEN = ("DX_966.dcm", "CR_chrJapMulti.dcm")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """With what the model accepts: chests."""
    out = tmp_path_factory.mktemp("predicted")
    done = predict(f"model={model}", f"input.dir={SHARED / 'dicom'}", f"output.dir={out}")
    assert done.returncode == 1, done.stderr
    return out


@pytest.fixture(scope="module")
def anything(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Whatever can be read."""
    out = tmp_path_factory.mktemp("anything")
    accept = ("input.modalities=[CR,DX,MG,XA]", "input.body_parts=[]", "input.views=[]")
    done = predict(f"model={model}", f"input.dir={SHARED / 'dicom'}", f"output.dir={out}", *accept)
    assert done.returncode == 1, done.stderr
    return out


def segmentations(out: Path) -> Iterator[tuple[dict[str, str], Path]]:
    yield from ((row, path) for row in rows(out) if (path := out / "seg" / f"{row['id']}.dcm").exists())


def test_every_file_has_one_row_with_its_reason(predicted: Path) -> None:
    names = sorted(path.name for path in (SHARED / "dicom").iterdir())
    assert [row["path"] for row in rows(predicted)] == names
    assert sorted((*DONE, *REASONS)) == names
    for name, row in by_path(predicted).items():
        if name in DONE:
            assert (row["status"], row["reason"]) == ("done", "")
        else:
            assert row["status"] == ("rejected" if name in BROKEN else "skipped"), name
            assert row["reason"].startswith(REASONS[name])


def test_all_but_the_broken_ones_can_be_predicted(anything: Path) -> None:
    found = by_path(anything)
    assert {name for name, row in found.items() if row["status"] == "done"} == {*DONE, *REASONS} - {
        *BROKEN,
        "index.csv",
    }
    assert {name for name, row in found.items() if row["status"] == "rejected"} == set(BROKEN)


def test_masks_have_the_native_size(anything: Path) -> None:
    with (SHARED / "dicom" / "index.csv").open(newline="") as file:
        sizes = {line["file"]: (int(line["rows"]), int(line["columns"])) for line in csv.DictReader(file)}
    done = [row for row in rows(anything) if row["status"] == "done"]
    assert len(done) == 14
    for row in done:
        assert (int(row["rows"]), int(row["columns"])) == sizes[row["path"]]
        for name in CLASSES:
            mask = read_mask(anything, name, row)
            assert mask.shape == sizes[row["path"]]
            assert int(row[f"area_px_{name}"]) == (mask == 255).sum() == mask.size - (mask == 0).sum()


@pytest.mark.parametrize("coats", [("RG2_JLSL", "RG2_JPLL"), ("RG3_J2KR", "RG3_JPLL", "RG3_RLE")])
def test_one_radiograph_in_several_transfer_syntaxes_has_one_mask(anything: Path, coats: tuple[str, ...]) -> None:
    found = [by_path(anything)[f"CR_{coat}.dcm"] for coat in coats]
    for name in CLASSES:
        assert len({(anything / "png" / name / f"{row['id']}.png").read_bytes() for row in found}) == 1
    assert all("duplicate of " in row["warnings"] for row in found[1:])


def test_every_picture_with_sound_uids_gets_a_segmentation(predicted: Path, anything: Path) -> None:
    assert {row["path"] for row, _ in segmentations(predicted)} == {*DONE} - {LUT}
    assert len(list(segmentations(anything))) == 13
    assert "no SEG: SOPInstanceUID is missing or not valid" in by_path(anything)[LUT]["warnings"]
    assert "AccessionNumber is not valid and was left empty" in by_path(anything)["DX_966_fixed.dcm"]["warnings"]


def test_segmentations_read_back_equal_to_the_png_masks(anything: Path) -> None:
    """By highdicom through the source's UID, and by pydicom frame by frame."""
    for row, path in segmentations(anything):
        masks = np.stack([read_mask(anything, name, row) for name in CLASSES]) > 0
        source = pydicom.dcmread(SHARED / "dicom" / row["path"], stop_before_pixels=True)
        read = segread(path).get_pixels_by_source_instance([source.SOPInstanceUID])
        assert np.array_equal(np.moveaxis(read[0], -1, 0), masks)
        written = pydicom.dcmread(path)
        assert np.array_equal(written.pixel_array, masks)
        assert [segment.SegmentLabel for segment in written.SegmentSequence] == list(CLASSES)
        assert (written.Rows, written.Columns) == (source.Rows, source.Columns)
        assert written.StudyInstanceUID == source.StudyInstanceUID


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of the Debian package dicom3tools")
def test_segmentations_are_valid(anything: Path) -> None:
    for row, path in segmentations(anything):
        checked = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60, check=False)
        found = [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("Error")]
        assert found == [], row["path"]
        assert "Segmentation" in checked.stderr + checked.stdout
        assert checked.returncode == 0
