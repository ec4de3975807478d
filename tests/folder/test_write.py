from datetime import UTC, datetime

import numpy as np
import pytest

from medseg.data.config import PreprocessConfig
from medseg.errors import StorageError
from medseg.folder.examine import examine_file
from medseg.folder.pool import Lost
from medseg.folder.write import Written, write_results
from medseg.inference.decision import Decision
from tests.support.dicom_files import write_dicom
from tests.support.folder_jobs import build_job

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CLASSES = ("heart", "lungs")
DECISION = Decision(CLASSES, PreprocessConfig(size=(48, 40), fit="stretch"), (0.5, 0.5), {}, False)


def chest() -> np.ndarray:
    """Probabilities of two lungs that span 30 of 40 columns, and of a heart of 15 columns."""
    maps = np.zeros((2, 48, 40), np.float32)
    maps[1, 5:40, 5:14] = maps[1, 5:40, 26:35] = 1
    maps[0, 25:38, 14:29] = 1
    return maps


@pytest.fixture
def write(tmp_path):
    def run(maps=None, **tags):
        job = build_job(tmp_path, tmp_path / "out", decision=DECISION, **tags.pop("job", {}))
        write_dicom(tmp_path / "x", **tags)
        found = examine_file(job, b"x", None)
        return job, found, write_results(job, found, chest() if maps is None else maps, NOW)

    return run


def test_areas_ratio_and_sizes_of_what_was_written(write):
    job, found, written = write(job={"formats": ("png", "nifti")})
    assert isinstance(written, Written)
    assert written.facts["area_px_heart"] == 13 * 15 * 4  # 96 x 80 pixels from 48 x 40
    assert written.facts["ctr"] == pytest.approx(15 / 30, abs=0.03)
    assert set(written.outputs) == {
        f"{kind}/{name}/{found.id}.{end}" for name in CLASSES for kind, end in (("png", "png"), ("nifti", "nii.gz"))
    }
    assert all(job.sink.path(name).stat().st_size == size for name, size in written.outputs.items())


@pytest.mark.parametrize(("view", "given", "warned"), [("PA", True, False), ("AP", True, True), (None, False, False)])
def test_the_ratio_is_that_of_a_pa_view_or_of_an_ap_view_with_a_warning(view, given, warned, write):
    _, _, written = write(ViewPosition=view)
    assert (written.facts["ctr"] is not None) == given
    assert any(warning.startswith("ctr of an AP view") for warning in written.warnings) == warned


def test_an_empty_class_is_a_warning(write):
    maps = chest()
    maps[0] = 0
    _, _, written = write(maps)
    assert "empty_heart" in written.warnings
    assert written.facts["ctr"] is None


def test_a_full_disk_is_raised(write, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError):
        write()


def test_another_error_costs_one_file_and_tells_no_value(write, monkeypatch):
    def fail(*arguments):
        raise KeyError("Jones^Mary")

    monkeypatch.setattr("medseg.output.writers.write_mask_png", fail)
    _, _, lost = write()
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("unexpected: KeyError in test_write.py:")


def test_a_side_too_long_for_nifti_is_a_warning_and_the_rest_is_there(write, monkeypatch):
    monkeypatch.setattr("medseg.output.writers._MAX_NIFTI", 90)
    _, _, written = write(job={"formats": ("png", "nifti")})
    assert any(warning.startswith("no NIfTI: ") for warning in written.warnings)
    assert len(written.outputs) == 2
