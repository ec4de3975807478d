import json
import os
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medseg.errors import StorageError
from medseg.folder.journal import _FLUSH_SECONDS, JOURNAL_MARK, Journal

HEADER = b'{"medseg_journal": 1}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files cannot grow beyond 100 000 bytes, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_the_first_line_says_what_it_is(path: Path) -> None:
    with Journal(path):
        assert path.read_bytes() == HEADER
    assert HEADER.startswith(JOURNAL_MARK)


def test_a_record_is_found_before_and_after_it_is_written_and_after_reopening(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.folder.journal._FLUSH_SECONDS", 3600)
    record = {"status": "done", "row": {"ctr": 0.5, "lossy": None}, "text": "Größe\n"}
    with Journal(path) as journal:
        journal.append(b"\xff/a", record)
        assert journal.find(b"\xff/a") == record
        assert path.read_bytes() == HEADER
        journal._flush()
        assert path.read_bytes().count(b"\n") == 2
        assert journal.find(b"\xff/a") == record
        assert journal.find(b"a") is None
    with Journal(path) as journal:
        assert journal.find(b"\xff/a") == record


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_latest_record_counts(path: Path) -> None:
    for number in range(3):
        with Journal(path) as journal:
            journal.append(b"a", {"number": number})
            journal.append(b"a", {"number": number + 10})
            assert journal.find(b"a") == {"number": number + 10}
    assert path.read_bytes().count(b"\n") == 7


def test_a_lone_record_is_on_disk_within_a_second(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(b"a", {"n": 1})
        wait_for(lambda: path.read_bytes().count(b"\n") == 2)  # without another call
    assert _FLUSH_SECONDS <= 0.5


def test_no_path_is_written(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(b"canary.dcm", {})
    assert b"canary" not in path.read_bytes()
    key = json.loads(path.read_bytes().splitlines()[1])["path"]
    assert key == "a5a96137e2e0ed7c845ea5b27513ca09"  # printf canary.dcm | sha256sum | cut -c 1-32


def test_wherever_the_last_line_is_torn_the_rest_holds(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(b"a", {"n": 1})
        journal.append(b"b", {"n": 2})
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for size in range(start, len(whole)):
        path.write_bytes(whole[:size])
        with Journal(path) as journal:
            assert (journal.find(b"a"), journal.find(b"b")) == ({"n": 1}, None)
            journal.append(b"c", {"n": 3})
        assert path.read_bytes()[:start] == whole[:start]
        assert [json.loads(line).get("n") for line in path.read_bytes().splitlines()] == [None, 1, 3]


@pytest.mark.parametrize(
    "garbage",
    [b"\0" * 4096, b'{"path": "00', b"[]", b'{"path": 1}', b'{"path": "0"}', b"\xff", b"[" * 100_000, b"9" * 5000, b""],
)
@pytest.mark.parametrize("at_end", [True, False], ids=["last", "middle"])
def test_a_line_of_garbage_is_skipped(path: Path, garbage: bytes, at_end: bool) -> None:
    with Journal(path) as journal:
        journal.append(b"a", {"n": 1})
    line = path.read_bytes()[len(HEADER) :]
    path.write_bytes(HEADER + (line + garbage + b"\n" if at_end else garbage + b"\n" + line))
    with Journal(path) as journal:
        assert journal.find(b"a") == {"n": 1}
        journal.append(b"b", {"n": 2})
    with Journal(path) as journal:
        assert (journal.find(b"a"), journal.find(b"b")) == ({"n": 1}, {"n": 2})


@pytest.mark.parametrize("size", range(len(HEADER)))
def test_a_torn_header_is_written_again(path: Path, size: int) -> None:
    path.write_bytes(HEADER[:size])
    with Journal(path) as journal:
        journal.append(b"a", {})
    assert path.read_bytes().startswith(HEADER)


@pytest.mark.parametrize("content", [b"my diary\n", b'{"medseg_journal": 2}\n', b'{"medseg_journal": 1}x', b"\n"])
def test_a_file_of_somebody_else_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"journal\.jsonl: this file is not a journal that this version"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_fifo_is_not_opened(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StorageError, match=r"journal\.jsonl: not a regular file"):
        Journal(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/journal\.jsonl: could not be written"):
        Journal(tmp_path / "file" / "journal.jsonl")


def test_a_full_disk_is_told_at_the_next_append(path: Path, small_files: None) -> None:
    journal = Journal(path)
    journal.append(b"a", {"n": 1})
    journal.append(b"b", {"text": "x" * 200_000})
    wait_for(lambda: journal._failure is not None)
    with pytest.raises(StorageError, match=r"journal\.jsonl: could not be written: File too large"):
        journal.append(b"c", {"n": 3})
    assert journal.find(b"c") is None
    with pytest.raises(StorageError, match="could not be written: File too large"):
        journal.close()
    assert path.read_bytes() == HEADER


def test_a_full_disk_is_told_at_closing(path: Path, small_files: None) -> None:
    journal = Journal(path)
    journal.append(b"a", {"text": "x" * 200_000})
    with pytest.raises(StorageError, match="File too large"):
        journal.close()
    with Journal(path) as journal:
        assert journal.find(b"a") is None
        journal.append(b"b", {"n": 2})
    assert path.read_bytes().count(b"\n") == 2


def test_what_could_not_be_written_is_once_there_is_room(path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            journal.append(b"a", {"text": "x" * 200_000})
            wait_for(lambda: journal._failure is not None)
            assert path.read_bytes() == HEADER
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        wait_for(lambda: journal._failure is None)
        journal.append(b"b", {"n": 2})
    with Journal(path) as journal:
        assert journal.find(b"a") == {"text": "x" * 200_000}
        assert journal.find(b"b") == {"n": 2}


WRITER = """
import itertools, sys
from pathlib import Path
from medseg.folder.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    for number in itertools.count():
        journal.append(b"%d" % number, {"number": number, "text": "x" * (number % 500)})
        print(number, journal._end, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("num_records", [1, 40, 700])
def test_what_is_on_disk_survives_a_kill(path: Path, num_records: int) -> None:
    """The process is killed `num_records` records after the journal was written twice."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        ends = [len(HEADER)]
        while len(set(ends)) < 3:
            ends.append(int(writer.stdout.readline().split()[1]))
        for _ in range(num_records):
            writer.stdout.readline()
        writer.kill()
    safe = path.read_bytes()[: ends[-1]].splitlines()[1:]
    assert path.stat().st_size >= ends[-1]
    with Journal(path) as journal:
        for number in range(len(safe)):
            assert journal.find(b"%d" % number) == {"number": number, "text": "x" * (number % 500)}
    records = [json.loads(line) for line in path.read_bytes().splitlines()[1:]]
    assert [record["number"] for record in records] == list(range(len(records)))


def test_30000_records_take_little_memory(path: Path) -> None:
    with Journal(path) as journal:
        for number in range(30_000):
            journal.append(b"%d" % number, {"status": "done"})
    tracemalloc.start()
    try:
        with Journal(path) as journal:
            assert journal.find(b"29999") == {"status": "done"}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000  # a dictionary of the keys takes 5 000 000
