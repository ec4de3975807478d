import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medseg.errors import ArchiveError
from medseg.folder import archives
from medseg.folder.archives import list_archive, open_member
from medseg.folder.examine import examine_file
from medseg.folder.journal import Journal
from medseg.folder.pool import Lost, start_server
from medseg.folder.source import FolderSource
from medseg.folder.stages import FolderPrediction
from medseg.folder.watch import watch
from medseg.inference.config import InputConfig
from medseg.radiograph.source import MAX_BYTES
from tests.support.archives import ENDINGS, encrypt, set_in_headers, write_archive, write_large_listing
from tests.support.dicom_files import write_dicom
from tests.support.folder_jobs import build_job

FILES = {"b/IM1": b"one", "a.dcm": b"", "DICOMDIR": b"3"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    archives.close_archive()


def met(source: FolderSource) -> dict[str, tuple[str, str]]:
    return {os.fsdecode(entry.path): (entry.status, entry.reason) for entry in source}


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_an_archive_are_entries(root: Path, ending: str) -> None:
    write_archive(root / f"study{ending}", FILES)
    (root / "z.dcm").touch()
    source = pickle.loads(pickle.dumps(FolderSource(root)))
    entries = list(source)
    assert [entry.path.decode() for entry in entries] == [*(f"study{ending}/{name}" for name in FILES), "z.dcm"]
    for entry, content in zip(entries, FILES.values(), strict=False):
        with source.open(entry.path) as file:
            assert (file.read(), file.name) == (content, f"{root}/{entry.path.decode()}")
            assert source.fingerprint(file) == entry.fingerprint


@pytest.mark.parametrize("name", ["study.zip", "study", "study.tar.gz"])
def test_the_input_may_be_an_archive(root: Path, name: str) -> None:
    ending = "" if name == "study" else name.removeprefix("study")
    write_archive(root / f"a{ending or '.tar'}", FILES).rename(root / name)
    source = FolderSource(root / name)
    assert met(source) == dict.fromkeys(FILES, ("", ""))
    with source.open(b"b/IM1") as file:
        assert file.read() == b"one"


def test_a_link_to_an_archive_is_followed(root: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "elsewhere.zip", FILES)
    (root / "link.zip").symlink_to(tmp_path / "elsewhere.zip")
    assert list(met(FolderSource(root))) == [f"link.zip/{name}" for name in FILES]
    with FolderSource(root).open(b"link.zip/b/IM1") as file:
        assert file.read() == b"one"


def test_each_bad_file_has_a_reason(root: Path) -> None:
    path = write_archive(root / "a.zip", dict.fromkeys(("good", "secret", "../up", "in.ZIP", "in.tar.gz"), b"x"))
    found = met(FolderSource(encrypt(path, "secret").parent))
    assert found.pop("a.zip/good") == ("", "")
    assert {path: reason.partition(". ")[0] for path, (status, reason) in found.items() if status == "rejected"} == {
        "a.zip/secret": "archive: is encrypted",
        "a.zip/../up": "archive: has a name that leads out of the archive",
        "a.zip/in.ZIP": "archive: is an archive inside an archive",
        "a.zip/in.tar.gz": "archive: is an archive inside an archive",
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_of_one_name_are_one_entry(root: Path) -> None:
    write_archive(root / "a.zip", [("a", b"1"), ("a", b"2"), ("b", b"")])
    entries = [entry.path for entry in FolderSource(root)]
    assert entries == [b"a.zip/a", b"a.zip/b"]


def test_an_archive_that_cannot_be_read_is_one_entry(root: Path) -> None:
    encrypt(write_archive(root / "secret.zip", {"x": b"", "y": b""}), "x", "y")
    (root / "cut.zip").write_bytes(write_archive(root / "cut.zip", FILES).read_bytes()[:50])
    (root / "cut.tar").write_bytes(write_archive(root / "cut.tar", FILES).read_bytes()[:1600])
    write_archive(root / "empty.zip", {"folder/": b""})
    (root / "text.zip").write_text("no archive")
    (root / "great.tar").touch()
    os.truncate(root / "great.tar", MAX_BYTES + 1)
    damaged = "archive: is damaged or incomplete. Make or copy it again"
    assert met(FolderSource(root)) == {
        "cut.tar": ("rejected", damaged),
        "cut.zip": ("rejected", damaged),
        "empty.zip": ("skipped", "archive: has no files"),
        "great.tar": ("skipped", f"too-large: has {MAX_BYTES + 1} bytes"),
        "secret.zip": ("rejected", "archive: is encrypted. Make an archive without a password"),
        "text.zip": ("", ""),
    }
    assert met(FolderSource(root / "cut.zip")) == {".": ("rejected", damaged)}


def test_an_archive_is_listed_once_until_it_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[bytes] = []

    def list_counted(path: bytes) -> archives.Listed:
        listed.append(path)
        return list_archive(path)

    monkeypatch.setattr(archives, "list_archive", list_counted)
    write_archive(root / "a.zip", {"a": b""})
    source = FolderSource(root)
    assert met(source) == met(source) == {"a.zip/a": ("", "")}
    write_archive(root / "a.zip", {"a": b"", "b": b""})
    assert list(met(source)) == ["a.zip/a", "a.zip/b"]
    assert len(listed) == 2
    monkeypatch.setattr(archives, "_MAX_KEPT", 1)
    write_archive(root / "b.zip", {"a": b""})
    assert len(met(source)) == 3
    assert len(archives._kept) == 1


def test_an_open_archive_is_kept_until_it_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.fsencode(write_archive(root / "a.tar.gz", FILES))
    assert open_member(path + b"/b/IM1").read() == b"one"
    kept = archives._opened
    assert open_member(path + b"/DICOMDIR").read() == b"3"
    assert archives._opened is kept
    (root / "a.tar.gz").unlink()
    with pytest.raises(FileNotFoundError):
        open_member(path + b"/a.dcm")
    write_archive(root / "a.tar.gz", {"DICOMDIR": b"new"})
    assert open_member(path + b"/DICOMDIR").read() == b"new"
    (root / "a.tar.gz").write_text("none")
    with pytest.raises(ArchiveError, match="is no longer an archive"):
        open_member(path + b"/DICOMDIR")


def test_a_damaged_file_does_not_spoil_the_next(root: Path) -> None:
    path = write_archive(root / "a.zip", {"bad": b"12345678", "good": b"good"})
    set_in_headers(path, "bad", local=None, central=16, value=0, width=4)  # its CRC
    job = build_job(root, root.parent / "out")
    found = examine_file(job, b"a.zip/bad", None)
    assert (found.status, found.reason) == ("rejected", "archive: is damaged or incomplete. Make or copy it again")
    assert found.stat == next(iter(job.source)).fingerprint
    with job.source.open(b"a.zip/good") as file:
        assert file.read() == b"good"


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_a_radiograph_is_examined_as_outside(root: Path, tmp_path: Path, ending: str) -> None:
    write_dicom(root / "a.dcm")
    write_archive(tmp_path / f"b{ending}", {"a.dcm": (root / "a.dcm").read_bytes(), "DICOMDIR": b"text"})
    outside = examine_file(build_job(root, tmp_path / "out"), b"a.dcm", None)
    job = build_job(tmp_path / f"b{ending}", tmp_path / "out")
    inside = examine_file(job, b"a.dcm", None)
    assert outside.image is not None
    assert inside.image is not None
    assert (inside.id, inside.pixels, inside.facts, inside.warnings) == (
        outside.id,
        outside.pixels,
        outside.facts,
        outside.warnings,
    )
    assert inside.image.tobytes() == outside.image.tobytes()
    other = examine_file(job, b"DICOMDIR", None)
    assert (other.status, other.reason.partition(":")[0]) == ("skipped", "not-an-image")


@pytest.mark.slow
def test_files_are_listed_in_a_process_with_limits(root: Path, tmp_path: Path) -> None:
    start_server(("png",))
    (tmp_path / ".scratch").mkdir()
    write_archive(root / "a.zip", FILES)
    (root / "fine.zip").symlink_to(root / "a.zip")
    fine = FolderSource(root, tmp_path, InputConfig(dir=root))
    assert len(met(fine)) == 2 * len(FILES)
    write_large_listing(root / "large.zip")
    short = FolderSource(root, tmp_path, InputConfig(dir=root, memory_gib=0.002))
    assert met(short)["large.zip"] == ("rejected", "memory: needed more than 0.002 GiB")
    assert list((tmp_path / ".scratch").iterdir()) == []


def test_what_cannot_be_opened(root: Path) -> None:
    assert list_archive(os.fsencode(root / "gone.zip")) == Lost("unreadable: No such file or directory")
    with pytest.raises(FileNotFoundError):
        open_member(os.fsencode(root) + b"/gone/file")


def test_names_that_are_not_utf8(root: Path) -> None:
    write_archive(root / "a.tar", {"\udcff": b"x"})
    source = FolderSource(root)
    assert [entry.path for entry in source] == [b"a.tar/\xff"]
    with source.open(b"a.tar/\xff") as file:
        assert file.read() == b"x"


def test_a_watched_archive_is_taken_once_it_is_complete_and_has_settled(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_archive(tmp_path / "whole.zip", FILES).read_bytes()
    states = iter([content[:50], content[:50], content[:-1], content, content, None])
    state = next(states)

    def grow(*_: object) -> None:
        """In place of the pause between two walks."""
        nonlocal state
        before, state = state, next(states)
        if state is not None and state != before:
            (root / "study.zip").write_bytes(state)

    monkeypatch.setattr("medseg.folder.watch._pause", grow)
    (root / "study.zip").write_bytes(content[:50])
    workers: Any = SimpleNamespace(number=1, timeout_seconds=1.0, memory_gib=1.0)
    predictor: Any = SimpleNamespace(batch_size=1)
    with Journal(tmp_path / "journal.jsonl") as journal:
        prediction = FolderPrediction(build_job(root, tmp_path / "out"), predictor, workers, journal)
        passes = [
            [(entry.path.decode(), entry.status) for entry in entries]
            for entries in watch(
                prediction.job.source, prediction.is_known, InputConfig(dir=root), lambda: state is None
            )
        ]
    assert passes == [[], [("study.zip", "rejected")], [(f"study.zip/{name}", "") for name in FILES]]
