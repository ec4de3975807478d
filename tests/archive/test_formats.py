"""Everything that an archive may state, and what is wrong with it."""

import stat
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest

from medseg.archive import formats
from medseg.archive.members import open_archive
from medseg.errors import ArchiveError
from tests.support.archives import ENDINGS, encrypt, set_in_headers, write_archive, write_special

DAMAGED = "is damaged or incomplete"


def faults(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        archive = open_archive(file)
        assert archive is not None
        return {member.name: member.fault for member in archive.list_members()}


def read_all(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        archive = open_archive(file)
        assert archive is not None
        return {member.name: b"".join(archive.read(member.name)) for member in archive.list_members()}


@pytest.mark.parametrize("ending", [".zip", ".tar"])
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/etc/passwd", "leads out of the archive"),
        ("../a", "leads out of the archive"),
        ("a/../../b", "leads out of the archive"),
        ("C:/a", "leads out of the archive"),
        ("a\\..\\b", "has a backslash"),
        ("./a", ""),
        ("a/b..c/...", ""),
    ],
)
def test_unsafe_names(tmp_path: Path, ending: str, name: str, fault: str) -> None:
    found = faults(write_archive(tmp_path / f"a{ending}", {name: b"x"}))
    assert (fault in found[name]) if fault else (found == {name.removeprefix("./"): ""})


def test_names_of_a_zip_in_utf_8_without_its_flag(tmp_path: Path) -> None:
    """As a Mac writes them; names that are not UTF-8 are in code page 437."""
    twins = unicodedata.normalize("NFD", "é"), "É"
    path = write_archive(tmp_path / "a.zip", dict.fromkeys((*twins, "ü/肺.png", "ab"), b"x"))
    for name in (*twins, "ü"):
        set_in_headers(path, name, local=6, central=8, value=0)
    path.write_bytes(path.read_bytes().replace(b"ab", b"\x82b"))
    assert read_all(path).keys() == {*twins, "ü/肺.png", "éb"}
    found = faults(path)
    assert all("the name of another file" in found[name] for name in twins)
    assert found["éb"] == found["ü/肺.png"] == ""


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (tarfile.SYMTYPE, "is a symbolic link"),
        (tarfile.LNKTYPE, "is a hard link"),
        (tarfile.CHRTYPE, "is a character device"),
        (tarfile.BLKTYPE, "is a block device"),
        (tarfile.FIFOTYPE, "is a FIFO"),
        (b"M", "is split over several archives"),
    ],
)
def test_what_is_no_file_in_a_tar(tmp_path: Path, kind: bytes, fault: str) -> None:
    found = faults(write_special(tmp_path / "a.tar", "b", kind))
    assert found["a"] == ""
    assert fault in found["b"]


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert "is a symbolic link" in faults(tmp_path / "a.zip")["a"]


def test_a_sparse_file_which_is_great_without_taking_space(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "1000000", "GNU.sparse.name": "a"}
        archive.addfile(info)
    assert "is a sparse file" in faults(tmp_path / "a.tar")["a"]


def test_a_zip_says_what_cannot_be_read(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", dict.fromkeys(("good", "secret", "deflate64", "later"), b"x"))
    encrypt(path, "secret")
    set_in_headers(path, "deflate64", local=8, central=10, value=9)
    found = faults(set_in_headers(path, "later", local=None, central=34, value=1))
    assert found["good"] == ""
    assert "is encrypted" in found["secret"]
    assert "with Deflate64" in found["deflate64"]
    assert "is split over several files" in found["later"]


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_files_too_great(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(formats, "MAX_MEMBER_BYTES", 9)
    found = faults(write_archive(tmp_path / f"a{ending}", {"a": bytes(9), "b": bytes(10)}))
    assert found == {"a": "", "b": "has 10 bytes; the limit is 9 bytes"}


@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Refused before their content is decompressed; small ones are harmless."""
    path = write_archive(tmp_path / f"a{ending}", {"a": bytes(1 << 20)})
    assert faults(path) == {"a": ""}
    monkeypatch.setattr(formats, "FREE_BYTES", 1 << 16)
    with pytest.raises(ArchiveError, match="over 100 times its size"):
        faults(path)


def test_a_bomb_whose_files_share_their_bytes(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {f"{number:03}": bytes(range(256)) * 4 for number in range(3)})
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    directory = bytearray(content[at:])
    for found in range(3):  # each names the same, greatest part of the file
        start = [n for n in range(len(directory)) if directory[n : n + 4] == b"PK\x01\x02"][found]
        directory[start + 20 : start + 24] = at.to_bytes(4, "little")
        directory[start + 42 : start + 46] = bytes(4)
    path.write_bytes(content[:at] + directory)
    with pytest.raises(ArchiveError, match=DAMAGED):
        faults(path)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_archives(tmp_path: Path, ending: str, share: float) -> None:
    path = write_archive(tmp_path / f"a{ending}", {f"{n}": bytes(range(256)) * 50 for n in range(3)})
    size = path.stat().st_size - (10240 - 1024 if ending == ".tar" else 0)  # tar fills up its last record
    path.write_bytes(path.read_bytes()[: int(size * share)])
    with pytest.raises(ArchiveError, match=DAMAGED):
        read_all(path)


def test_a_tar_that_goes_on_with_something_else(tmp_path: Path) -> None:
    """tarfile would end there, and nobody would miss the other files."""
    path = write_archive(tmp_path / "a.tar", {"a": b"x", "b": b"y"})
    content = bytearray(path.read_bytes())
    content[1024 : 1024 + 100] = b"?" * 100
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=DAMAGED):
        faults(path)


def test_a_header_that_would_need_gigabytes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    with (tmp_path / "a.tar").open("rb") as file, pytest.raises(ArchiveError, match=DAMAGED):
        open_archive(file)


@pytest.mark.parametrize("ending", ENDINGS)
def test_content_decides_not_the_name(tmp_path: Path, ending: str) -> None:
    path = write_archive(tmp_path / f"a{ending}", {"a": b"content"})
    assert read_all(path.rename(tmp_path / "a.csv")) == {"a": b"content"}


@pytest.mark.parametrize(
    "content", [b"", b"PNG", bytes(2000), b"image,mask\n" * 100, b"\0" * 128 + b"DICM" + bytes(600)]
)
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with (tmp_path / "a.zip").open("rb") as file:
        assert open_archive(file) is None


@pytest.mark.parametrize(
    ("start", "name"), [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "RAR"), (b"\x28\xb5\x2f\xfd", "Zstandard")]
)
def test_archives_of_other_programs(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "a").write_bytes(start + bytes(600))
    with (tmp_path / "a").open("rb") as file, pytest.raises(ArchiveError, match=f"compressed as {name}"):
        open_archive(file)


@pytest.mark.parametrize("stated", [3, 9])
def test_stated_sizes_are_not_trusted(tmp_path: Path, stated: int) -> None:
    path = write_archive(tmp_path / "a.zip", {"a": b"123456"})
    set_in_headers(path, "a", local=22, central=24, value=stated, width=4)
    assert faults(path) == {"a": ""}
    with pytest.raises(ArchiveError, match=DAMAGED):
        read_all(path)
