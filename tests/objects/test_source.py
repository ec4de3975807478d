import os
import pickle
import zipfile
from dataclasses import replace

import pytest

from medseg.errors import RadiographError, StorageError
from medseg.folder.archives import close_archive
from medseg.folder.source import FolderSource, Shard
from medseg.objects import source as sources
from medseg.objects.source import ManifestSource
from medseg.objects.store import UnreachableError, remove_object, write_object

URL = "memory://images/a.png"


@pytest.fixture
def build(tmp_path):
    """A manifest of these paths beside a file `b.png`; the object `URL` exists, too."""
    (tmp_path / "b.png").write_bytes(b"file")
    write_object(URL, tmp_path / "b.png")

    def build(*paths):
        manifest = tmp_path / "list.csv"
        manifest.write_bytes(b"\n".join([b"path", *map(os.fsencode, paths)]) + b"\n")
        return pickle.loads(pickle.dumps(ManifestSource(manifest, FolderSource(tmp_path))))

    yield build
    remove_object(URL)


def test_files_and_objects_come_in_the_order_of_the_manifest(build, tmp_path):
    names = [URL, "b.png", os.fspath(tmp_path / "list.csv")]
    source = build(*names)
    for _ in range(2):
        entries = list(source)
        assert [os.fsdecode(entry.path) for entry in entries] == names
        assert all(entry.fingerprint and not entry.status for entry in entries)
    assert sum(1 for _ in source.glance()) == 3


def test_what_an_entry_names_is_opened_with_its_fingerprint(build):
    source = build(URL, "b.png")
    for entry in source:
        with source.open(entry.path) as file:
            assert file.read() == b"file"
            assert source.fingerprint(file) == entry.fingerprint


def test_rows_that_cannot_be_read_are_rejected_each_with_its_reason(build, tmp_path):
    (tmp_path / "folder").mkdir()
    rows = {
        "memory://images/missing.png": "unreadable: No such file or directory",
        "missing.png": "unreadable: No such file or directory",
        "folder": "not-regular: is a folder",
        "memory://images": "not-regular: is not a regular file",
        "memory://images/a.zip": "archive: archives in an object store are not read",
        "nonsense://a/b.png": "unreadable: Protocol not supported",
        '""': "unreadable: the row has no path",
        "nul\0.png": "unreadable: Invalid argument",
    }
    for entry, reason in zip(build(*rows), rows.values(), strict=True):
        assert (entry.status, entry.fingerprint) == ("rejected", None)
        assert entry.reason.startswith(reason)


def test_credentials_in_a_url_are_neither_used_nor_kept(build):
    (entry,) = build("memory://user:password@images/a.png")
    assert entry.path == URL.encode()
    assert entry.status == "rejected"
    assert entry.reason.startswith("credentials: ")


def test_a_path_counts_once(build):
    first, second = build("b.png", "b.png")
    assert (first.status, second.status) == ("", "skipped")
    assert second.reason.startswith("duplicate: ")


def test_an_archive_stands_for_its_files(build, tmp_path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("d.png", b"member")
    source = build("c.zip", "b.png")
    assert [entry.path for entry in source] == [b"c.zip/d.png", b"b.png"]
    with source.open(b"c.zip/d.png") as file:
        assert file.read() == b"member"
    close_archive()


def test_an_object_that_changes_while_it_is_read_is_refused(build, monkeypatch, tmp_path):
    source = build(URL)
    read = sources.read_object

    def replace_after(url):
        content = read(url)
        (tmp_path / "b.png").write_bytes(b"another")
        write_object(url, tmp_path / "b.png")
        return content

    monkeypatch.setattr(sources, "read_object", replace_after)
    with pytest.raises(RadiographError, match="changed while it was read"):
        source.open(URL.encode())


def test_large_objects_are_not_read(build, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 3)
    source = build(URL)
    (entry,) = source
    assert (entry.status, entry.reason) == ("rejected", "too-large: has 4 bytes")
    with pytest.raises(RadiographError, match="has 4 bytes"):
        source.open(URL.encode())


def test_a_store_that_cannot_be_reached_ends_the_run(build, monkeypatch):
    def fail(url):
        raise UnreachableError("the object store cannot be reached or used (TimeoutError)")

    monkeypatch.setattr(sources, "fingerprint_object", fail)
    with pytest.raises(StorageError, match=r"^memory://images: the object store cannot be reached .* to resume$"):
        list(build(URL))


def test_each_row_is_in_one_shard_with_its_number(build):
    source = build(URL, "b.png", "missing.png", "list.csv")
    parts = [list(replace(source, folder=replace(source.folder, shard=Shard(index, 2)))) for index in (1, 2)]
    assert all(parts)
    found = sorted((entry for part in parts for entry in part), key=lambda entry: entry.position)
    assert found == list(source)
    assert [entry.position for entry in found] == [(0,), (1,), (2,), (3,)]


def test_two_manifests_are_two_sources(build, tmp_path):
    source = build("b.png")
    assert source.identity == os.fsencode(tmp_path / "list.csv")
