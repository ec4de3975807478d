import gzip
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from medseg.archive import members
from medseg.archive.members import is_archive, open_archive
from medseg.errors import ArchiveError
from tests.support.archives import ENDINGS, write_archive


def list_faults(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        archive = open_archive(file)
        assert archive is not None
        return {member.name: member.fault for member in archive.list_members()}


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_are_listed_in_their_order_and_read_in_any(tmp_path: Path, ending: str) -> None:
    files = {f"{name}/x": name.encode() * size for name, size in (("b", 0), ("a", 700_000), ("é", 3))}
    with write_archive(tmp_path / f"a{ending}", files).open("rb") as file:
        archive = open_archive(file)
        assert archive is not None
        listed = archive.list_members()
        assert [(member.name, member.size, member.fault) for member in listed] == [
            (name, len(content), "") for name, content in files.items()
        ]
        assert {name: b"".join(archive.read(name)) for name in reversed(files)} == files
        with pytest.raises(FileNotFoundError):
            next(archive.read("c"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_is_read_without_a_list(tmp_path: Path, ending: str) -> None:
    with write_archive(tmp_path / f"a{ending}", {"a": b"1", "b": b"2", "c": b"3"}).open("rb") as file:
        archive = open_archive(file)
        assert archive is not None
        assert [b"".join(archive.read(name)) for name in "bac"] == [b"2", b"1", b"3"]
        with pytest.raises(FileNotFoundError):
            next(archive.read("d"))


def test_a_compressed_tar_is_decompressed_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sizes are: tarfile goes back by a byte after each file."""
    files = {str(number): os.urandom(1 << number) for number in range(8, 21)}
    path = write_archive(tmp_path / "a.tar.gz", files)
    rewinds = []
    reader: Any = gzip._GzipReader
    rewind = reader._rewind

    def count(self: Any) -> None:
        rewinds.append(self)
        rewind(self)

    monkeypatch.setattr(reader, "_rewind", count)
    with path.open("rb") as file:
        archive = open_archive(file)
        assert archive is not None
        assert {name: b"".join(archive.read(name)) for name in files} == files
    assert not rewinds


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_what_a_mac_adds_is_left_out(tmp_path: Path, ending: str) -> None:
    litter = ("__MACOSX/images/._a.png", "images/._a.png", "images/.DS_Store")
    found = list_faults(write_archive(tmp_path / f"a{ending}", dict.fromkeys((*litter, "images/a.png"), b"x")))
    assert found == {"images/a.png": ""}


@pytest.mark.parametrize("ending", [".zip", ".tar"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "A"), ("é", unicodedata.normalize("NFD", "é")), ("d", "d/a"), ("a/b", "./a//b")],
)
def test_names_that_look_the_same(tmp_path: Path, ending: str, first: str, second: str) -> None:
    found = list_faults(write_archive(tmp_path / f"a{ending}", [(first, b"1"), (second, b"2"), ("other", b"")]))
    assert "the name of another file" in found[first]
    assert found["other"] == ""


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_one_name_for_two_files(tmp_path: Path, ending: str) -> None:
    path = write_archive(tmp_path / f"a{ending}", [("a", b"1"), ("a", b"2")])
    assert "the name of another file" in list_faults(path)["a"]


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = write_archive(tmp_path / f"a{ending}", dict.fromkeys("abc", b""))
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    assert len(list_faults(path)) == 3
    monkeypatch.setattr(members, "MAX_MEMBERS", 2)
    with pytest.raises(ArchiveError, match="has more than 2 files"):
        list_faults(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_an_archive(tmp_path: Path, ending: str) -> None:
    assert is_archive(write_archive(tmp_path / f"a{ending}", {"a": b""}).rename(tmp_path / "a"))


def test_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("image,mask\n")
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(bytes(1000))
    assert not any(map(is_archive, (tmp_path, tmp_path / "a.zip", tmp_path / "a.nii.gz", tmp_path / "gone")))


def test_an_archive_that_cannot_be_read_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"Rar!\x1a\x07")
    (tmp_path / "b").write_bytes(b"PK\x03\x04")
    assert is_archive(tmp_path / "a")
    assert is_archive(tmp_path / "b")
