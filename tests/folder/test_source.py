import os
import pickle
from dataclasses import replace

import pytest

from medseg.errors import RadiographError
from medseg.folder.source import FolderSource, Shard
from tests.support.archives import write_archive


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


def test_each_file_is_in_one_shard_by_its_path_alone(tmp_path):
    names = [b"%d.dcm" % number for number in range(1000)]
    held = [[name for name in names if Shard(index, 4).holds(name)] for index in (1, 2, 3, 4)]
    assert sorted(name for part in held for name in part) == sorted(names)
    assert all(200 < len(part) < 300 for part in held)
    # printf 0.dcm | sha256sum | cut -c 1-16: f3e89311fa275683, which is 3 modulo 4
    assert [Shard(index, 4).holds(b"0.dcm") for index in (1, 2, 3, 4)] == [False, False, False, True]


def test_a_shard_has_the_entries_of_the_whole_with_their_positions(source, tmp_path):
    for number in range(20):
        (tmp_path / "a" / f"{number:02}").touch()
    write_archive(tmp_path / "a.zip", {"z": b"", "b": b""})
    whole = list(source)
    parts = [list(replace(source, shard=Shard(index, 3))) for index in (1, 2, 3)]
    assert all(entry.position == () for entry in whole)
    assert all(parts)
    assert sorted((entry for part in parts for entry in part), key=lambda entry: entry.position) == whole
    (packed,) = [part for part in parts if any(b"zip" in entry.path for entry in part)]
    assert [entry.position for entry in packed if b"zip" in entry.path] == [(21, 0), (21, 1)]


def test_the_files_of_an_archive_are_in_all_shards_if_it_is_the_input(tmp_path):
    source = FolderSource(write_archive(tmp_path / "a.zip", {str(number): b"" for number in range(20)}))
    parts = [list(replace(source, shard=Shard(index, 2))) for index in (1, 2)]
    assert all(parts)
    assert sorted((entry for part in parts for entry in part), key=lambda entry: entry.position) == list(source)


def test_a_shard_is_read_as_it_is_shown():
    assert Shard.parse("2/13") == Shard(2, 13)
    assert str(Shard(2, 13)) == "2/13"
