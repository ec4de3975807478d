import os
import shutil
import stat
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from medseg.archive.places import show_archives
from medseg.archive.unpack import PREFIX, unpacked
from medseg.errors import ArchiveError, RadiographError, StorageError
from medseg.radiograph import read_radiograph
from tests.support.archives import ENDINGS, encrypt, list_files, write_archive

FILES = {"images/a.png": b"1" * 3000, "images/é.png": b"", "masks/heart/a.png": b"2"}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files; nothing may stay there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_files_are_there_until_the_block_ends(tmp_path: Path, temporary: Path, ending: str) -> None:
    with unpacked(write_archive(tmp_path / f"a{ending}", FILES)) as folder:
        assert folder.is_relative_to(temporary)
        assert list_files(folder) == FILES


def test_nobody_else_can_open_them(tmp_path: Path, temporary: Path) -> None:
    before = os.umask(0)
    try:
        with unpacked(write_archive(tmp_path / "a.tar", FILES)) as folder:
            modes = {stat.S_IMODE(path.stat().st_mode) for path in (*temporary.glob("*"), folder, *folder.rglob("*"))}
            assert modes == {0o700, 0o600}
    finally:
        os.umask(before)


def test_messages_name_the_archive(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", FILES)
    with unpacked(path) as folder:
        assert show_archives(f"{folder}/images/a.png: is empty") == f"{path}/images/a.png: is empty"
    assert show_archives(str(folder)) == str(folder)


@pytest.mark.parametrize("name", ["a.zip", ".medseg.lock"])
def test_neither_an_archive_nor_a_file_in_it_meets_the_lock(tmp_path: Path, name: str) -> None:
    files = {".medseg.lock": b"x", "files": b"y"}
    with unpacked(write_archive(tmp_path / "a.zip", files).rename(tmp_path / name)) as folder:
        assert list_files(folder) == files


def test_messages_name_an_archive_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", FILES).rename(tmp_path / os.fsdecode(b"caf\xe9.zip"))
    with unpacked(path) as folder, pytest.raises(RadiographError) as error:
        read_radiograph(folder / "images" / "é.png")
    assert str(error.value) == f"{tmp_path}/caf\\xe9.zip/images/é.png: is empty"


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), unpacked(write_archive(tmp_path / "a.zip", FILES)):
        raise KeyError


def test_nothing_is_written_if_a_file_has_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encrypt(write_archive(tmp_path / "a.zip", FILES), "images/a.png", "masks/heart/a.png")
    monkeypatch.setattr("medseg.archive.unpack._write", lambda path, chunks: pytest.fail("written"))
    with pytest.raises(ArchiveError) as error, unpacked(path):
        pass
    assert str(error.value) == (
        f"{path}/images/a.png: is encrypted. Make an archive without a password (The archive has 1 more such files.)"
    )


@pytest.mark.parametrize("name", ["../../of medseg", "/of medseg", "a/../../../of medseg"])
@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_nothing_is_written_elsewhere(tmp_path: Path, ending: str, name: str) -> None:
    path = write_archive(tmp_path / f"a{ending}", {"in": b"", name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match="leads out of the archive"), unpacked(path):
        pass
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/of medseg").exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", b"no archive"])
def test_the_archive_is_named_if_it_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match=f"^{tmp_path}/a.zip: is "), unpacked(tmp_path / "a.zip"):
        pass


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {"b/a": bytes(range(256))})
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=f"^{path}/b/a: is damaged or incomplete"), unpacked(path):
        pass


def test_a_disk_that_is_too_small(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_archive(tmp_path / "a.zip", FILES)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(0, 0, 1 << 30))
    reason = rf"a.zip: unpacks to 0.0 GiB.* {temporary} has only 1.0 GiB.*TMPDIR"
    with pytest.raises(StorageError, match=reason), unpacked(path):
        pass


def test_a_name_that_this_disk_cannot_hold(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {"n" * 300: b""})
    with pytest.raises(StorageError, match=r"could not be unpacked into .*name too long"), unpacked(path):
        pass


def test_a_folder_for_temporary_files_that_is_missing(temporary: Path, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", FILES)
    temporary.rmdir()
    with pytest.raises(StorageError, match="Set the variable TMPDIR"), unpacked(path):
        pass
    temporary.mkdir()


def test_what_a_killed_process_left_is_removed(tmp_path: Path, temporary: Path) -> None:
    """But neither folders that another process uses, nor anything that is no folder of ours."""
    path = write_archive(tmp_path / "a.zip", FILES)
    (temporary / f"{PREFIX}dead" / "a.zip").mkdir(parents=True)
    (temporary / f"{PREFIX}used").mkdir()
    (tmp_path / "precious").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(tmp_path / "precious")
    with FileLock(temporary / f"{PREFIX}used" / ".medseg.lock"), unpacked(path) as folder:
        found = {place.name.removeprefix(PREFIX) for place in temporary.iterdir()}
        assert found == {"used", "link", folder.parents[1].name.removeprefix(PREFIX)}
    assert (tmp_path / "precious").exists()
    (temporary / f"{PREFIX}link").unlink()
    with unpacked(path):
        assert not (temporary / f"{PREFIX}used").exists()


def test_two_at_a_time(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", FILES)
    with unpacked(path) as first, unpacked(path) as second:
        assert first != second
        assert list_files(first) == list_files(second) == FILES
