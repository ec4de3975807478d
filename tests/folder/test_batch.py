from types import SimpleNamespace

import pytest

from medseg.folder.batch import FolderPrediction, _Slot
from medseg.folder.examine import examine_file
from medseg.folder.journal import Journal
from medseg.folder.walk import walk
from tests.support.dicom_files import write_dicom
from tests.support.folder_jobs import build_job


@pytest.fixture
def rejected(tmp_path):
    """A file with a result of an earlier run, rejected now for a given reason; its mask and what the journal says."""
    write_dicom(tmp_path / "in.dcm")
    job = build_job(tmp_path, tmp_path / "out")
    mask = tmp_path / "out" / "png" / "heart" / "0123456789abcdef.png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"mask")

    def run(reason):
        workers = SimpleNamespace(number=1, timeout_seconds=1.0, memory_gib=1.0)
        with Journal(tmp_path / "journal.jsonl") as journal:
            prediction = FolderPrediction(job, SimpleNamespace(batch_size=1), workers, journal)
            (entry,) = (entry for entry in walk(tmp_path, tmp_path / "out") if entry.path == b"in.dcm")
            earlier = {"id": "0123456789abcdef", "outputs": {"png/heart/0123456789abcdef.png": 4}}
            found = examine_file(job, b"in.dcm", None, reason)
            prediction._reading = 1
            prediction._advance(_Slot(entry, earlier), found)
            return mask.exists(), prediction.is_known(entry)

    return run


def test_a_result_goes_with_content_that_can_no_longer_be_read(rejected):
    assert rejected("damaged: cut short") == (False, True)


@pytest.mark.parametrize("code", ["changing", "unreadable", "killed"])
def test_a_reason_that_may_pass_leaves_the_earlier_result_and_is_tried_again(code, rejected):
    assert rejected(f"{code}: for now") == (True, False)
