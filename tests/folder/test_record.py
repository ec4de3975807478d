import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from medseg.folder.examine import Examined, examine_file
from medseg.folder.journal import Journal
from medseg.folder.record import File, Record, Records
from medseg.folder.sink import FolderSink
from tests.support.dicom_files import write_dicom
from tests.support.folder_jobs import build_job

OLD = {
    "id": "0123456789abcdef",
    "status": "done",
    "reason": "",
    "warnings": ["body part unknown"],
    "facts": {"kind": "dicom", "ctr": None},
    "seconds": 0.25,
    "pixels": "aa",
    "instance": "",
    "outputs": {"png/heart/0123456789abcdef.png": 4},
    "stat": [1, 2, 3, 4],
    "key": "k",
    "configuration": "c",
    "date": "2026-01-02T00:00:00+00:00",
    "limits": [1.0, 2.0],
}


@pytest.fixture
def made(tmp_path):
    """A file, the records of its job, and a result with its record from an earlier run."""
    write_dicom(tmp_path / "in.dcm")
    job = build_job(tmp_path, tmp_path / "out")
    mask = tmp_path / "out" / "png" / "heart" / "0123456789abcdef.png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"mask")
    with Journal(tmp_path / "journal.jsonl") as journal:
        (entry,) = (entry for entry in job.source if entry.path == b"in.dcm")
        earlier = Record("0123456789abcdef", "done", outputs={"png/heart/0123456789abcdef.png": 4})
        records = Records(job, journal, (1.0, 1.0))
        yield SimpleNamespace(
            job=job, mask=mask, entry=entry, file=File(entry, earlier), records=records, journal=journal
        )


def test_a_line_of_the_journal_is_read_and_written_as_it_stands():
    record = Record.from_json(OLD)
    assert (record.stat, record.limits) == ((1, 2, 3, 4), (1.0, 2.0))
    assert json.dumps(record.as_json()) == json.dumps(OLD)
    short = {name: value for name, value in OLD.items() if name not in ("date", "limits")}
    assert json.dumps(Record.from_json(short).as_json()) == json.dumps(short)


def test_a_line_of_a_later_version_is_read_without_what_is_unknown():
    assert Record.from_json({**OLD, "quality": "review"}) == Record.from_json(OLD)


def test_a_result_goes_with_content_that_can_no_longer_be_read(made):
    made.records.keep(made.file, examine_file(made.job, b"in.dcm", None, "damaged: cut short"))
    assert not made.mask.exists()
    assert made.records.find(made.entry).settled is not None


class SlowSink(FolderSink):
    """A folder that answers like a store: only what may be there is worth a request."""

    threads = 4


def test_in_a_store_only_known_results_and_those_of_a_broken_task_are_removed(made):
    job = replace(made.job, sink=SlowSink(made.job.sink.folder))
    records, other = Records(job, made.journal, (1.0, 1.0)), made.mask.with_name("fedcba9876543210.png")
    found = Examined("fedcba9876543210", "rejected", "damaged: cut short")
    other.touch()
    records.keep(made.file, found)
    assert not made.mask.exists()
    assert other.exists()
    records.keep(made.file, found, date=datetime.now(UTC))
    assert not other.exists()


@pytest.mark.parametrize("code", ["changing", "unreadable", "killed"])
def test_a_reason_that_may_pass_leaves_the_earlier_result_and_is_tried_again(code, made):
    record = made.records.keep(made.file, examine_file(made.job, b"in.dcm", None, f"{code}: for now"))
    assert made.mask.exists()
    assert record.seconds is None
    assert made.records.find(made.entry).settled is None


@pytest.mark.parametrize("reason", ["timeout: took more than 1 s", "memory: needs more", "crashed: by SIGABRT"])
def test_a_reason_that_another_limit_may_remove_is_tried_again_under_another(reason, made):
    made.records.keep(made.file, examine_file(made.job, b"in.dcm", None, reason))
    assert made.records.find(made.entry).settled is not None
    assert Records(made.job, made.journal, (2.0, 1.0)).find(made.entry).settled is None


def test_a_touched_file_of_the_same_content_is_known_under_its_new_fingerprint(made):
    found = examine_file(made.job, b"in.dcm", None)
    made.records.keep(made.file, found, {})
    os.utime(made.job.source.root / "in.dcm")
    (touched,) = (entry for entry in made.job.source if entry.path == b"in.dcm")
    file = made.records.find(touched)
    assert (file.stands, file.settled) == (True, None)
    made.records.renew(file, file.earlier, examine_file(made.job, b"in.dcm", file.earlier.id))
    assert made.records.find(touched).settled is not None


def test_a_result_that_is_gone_is_made_again(made):
    found = examine_file(made.job, b"in.dcm", None)
    made.records.keep(made.file, found, {"png/heart/x.png": 4})
    assert not made.records.find(made.entry).stands


def test_results_are_dated_by_when_they_were_first_made(made, monkeypatch):
    found = examine_file(made.job, b"in.dcm", None)
    first = datetime(2026, 1, 2, tzinfo=UTC)
    made.records.keep(made.file, found, {}, first)
    assert made.records.choose_date(made.records.find(made.entry), found) == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert made.records.choose_date(made.file, found).timestamp() == 1700000000


def test_what_a_process_that_died_left_is_removed(made):
    found = examine_file(made.job, b"in.dcm", None, "crashed: by SIGABRT")
    left = made.mask.with_name(f".{found.id}.png.0123.tmp")
    left.touch()
    made.records.keep(made.file, found, date=datetime(2026, 1, 2, tzinfo=UTC))
    assert not left.exists()
