import os
import pickle

import pytest

from medseg.errors import RadiographError
from medseg.folder.source import FolderSource


@pytest.fixture
def source(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"first")
    os.link(tmp_path / "a" / "x", os.fsencode(tmp_path) + b"/\xff")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result").touch()
    return FolderSource(tmp_path, tmp_path / "out")


def test_entries_are_those_of_the_walk_each_time_anew(source):
    for _ in range(2):
        assert [entry.path for entry in source] == [b"a/x", b"\xff"]


def test_a_worker_opens_what_an_entry_names(source):
    there = pickle.loads(pickle.dumps(source))
    assert there == source
    for entry in source:
        with there.open(entry.path) as file:
            assert there.fingerprint(file) == entry.fingerprint
            assert file.read() == b"first"


def test_two_folders_have_two_identities(source, tmp_path):
    assert source.identity == os.fsencode(tmp_path)
    assert FolderSource(tmp_path / "a").identity != source.identity


def test_what_is_no_file_any_more_is_refused_without_waiting(source, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RadiographError, match="is not a regular file"):
        source.open(b"fifo")
    with pytest.raises(FileNotFoundError):
        source.open(b"gone")
