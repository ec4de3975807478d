import json
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from medseg.benchmark.alternation import Times
from medseg.benchmark.folder import FolderRun, describe_run, run_predict_dicom, write_files
from medseg.errors import DataError, WorkerError
from medseg.radiograph import read_radiograph


def test_files_are_objects_of_their_own_in_the_syntax_of_their_folder(tmp_path: Path) -> None:
    folders = {syntax: tmp_path / syntax for syntax in (ExplicitVRLittleEndian, JPEG2000Lossless)}
    write_files(folders, 6, 96, seed=1)
    for syntax, folder in folders.items():
        found = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
        assert len({dataset.SOPInstanceUID for dataset in found}) == 6
        assert len({dataset.StudyInstanceUID for dataset in found}) == 6
        assert {dataset.file_meta.TransferSyntaxUID for dataset in found} == {syntax}
        assert all(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID for dataset in found)
        assert {dataset.Rows for dataset in found} == {96}
    plain, packed = (read_radiograph(folder / "0005.dcm") for folder in folders.values())
    assert (plain.pixels == packed.pixels).all()


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"ended with 2: error: .*no such file or folder"):
        run_predict_dicom("model=none.pt", f"input.dir={tmp_path / 'nowhere'}")


@pytest.fixture
def summarize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FolderRun]:
    """A run whose command leaves these figures."""

    def build(**summary: object) -> FolderRun:
        (tmp_path / "out" / "1").mkdir(parents=True)
        (tmp_path / "out" / "1" / "summary.json").write_text(json.dumps(summary))
        monkeypatch.setattr("medseg.benchmark.folder.run_predict_dicom", lambda *_: None)
        return FolderRun(tmp_path / "model.pt", tmp_path, tmp_path / "out", "png", "cpu")

    return build


def test_a_folder_of_which_nothing_is_predicted_is_said(summarize: Callable[..., FolderRun]) -> None:
    with pytest.raises(DataError, match=r"predicted none of the files.*modality"):
        summarize(predicted=0, seconds=1, reasons={"modality": 3}).turn()


def test_seconds_are_those_of_an_image_and_the_steady_rate_leaves_the_start_out(
    summarize: Callable[..., FolderRun],
) -> None:
    run = summarize(predicted=4, seconds=10.0, shares={"start": 0.2})
    seconds = run.turn()
    assert seconds == 2.5
    assert describe_run("folder", run, Times((seconds,)), 3.0).details["steady_images_per_second"] == 0.5
