import os
import shutil
import socket
import stat
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medseg.folder.journal import JOURNAL_MARK
from medseg.folder.walk import Entry, meet_file, promises_image, walk
from medseg.radiograph.source import MAX_BYTES

OWN_PLACE = ("skipped", "link: leads to a folder inside the input folder")
OTHER_LINK = ("skipped", "link: leads to a folder already read through another link")
HOLDER = ("rejected", "link: loops; it leads to a folder that contains it")
RESULTS = ("skipped", "link: leads to results of an earlier prediction")
OPEN = ("", "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def link(place: Path, target: Path | str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def met(root: Path, output: Path | None = None) -> dict[bytes, tuple[str, str]]:
    """The result for each path. No path may come twice."""
    entries = list(walk(root, output))
    assert all((entry.fingerprint is None) == bool(entry.status) for entry in entries)
    found = {entry.path: (entry.status, entry.reason) for entry in entries}
    assert len(found) == len(entries)
    return found


def test_names_are_sorted_as_bytes_files_and_folders_in_one_order(root: Path) -> None:
    touch(
        root / "b" / "z", root / "b" / "A", root / "b.dcm", root / "a", root / "B", root / "b" / "c" / "d", root / "é"
    )
    expected = ["B", "a", "b/A", "b/c/d", "b/z", "b.dcm", "é"]
    assert [entry.path.decode() for entry in walk(root, None)] == expected


def test_a_file_comes_with_its_size_and_the_empty_folder_not_at_all(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "file").write_bytes(b"12345")
    [entry] = walk(root, None)
    assert isinstance(entry, Entry)
    assert entry.fingerprint is not None
    assert (entry.path, entry.fingerprint[1], entry.status, entry.reason) == (b"file", 5, "", "")


@pytest.mark.parametrize(
    "name",
    [b"n" * 255, b"a\nb", b"-rf", b"\xff\xfe\x80", b" ", b"=1+1", b"%41", "写真.dcm".encode("shift_jis"), b"~", b"*"],
)
def test_any_name_is_met_as_its_bytes(root: Path, name: bytes) -> None:
    touch(root / os.fsdecode(name) / os.fsdecode(name))
    assert met(root) == {name + b"/" + name: OPEN}


def test_what_is_no_regular_file_is_rejected(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo.dcm")
    monkeypatch.chdir(root)  # a socket's path has 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert met(root) == {
        b"fifo.dcm": ("rejected", "not-regular: is a FIFO"),
        b"socket": ("rejected", "not-regular: is a socket"),
    }


@pytest.mark.parametrize(
    ("kind", "device", "said"),
    [(stat.S_IFCHR, (1, 5), "a character device"), (stat.S_IFBLK, (7, 0), "a block device")],
)
def test_a_device_is_rejected(root: Path, kind: int, device: tuple[int, int], said: str) -> None:
    try:
        os.mknod(root / "device", kind | 0o600, os.makedev(*device))
    except PermissionError:
        pytest.skip("devices cannot be made here")
    assert met(root) == {b"device": ("rejected", f"not-regular: is {said}")}


def test_links_to_files(root: Path) -> None:
    touch(root / "real", root.parent / "outside")
    (root.parent / "outside").write_bytes(b"123")
    link(root / "l1", "real")
    link(root / "l2", "../outside")
    assert met(root) == dict.fromkeys((b"l1", b"l2", b"real"), OPEN)
    sizes = {entry.path: entry.fingerprint[1] for entry in walk(root, None) if entry.fingerprint}
    assert sizes == {b"l1": 1, b"l2": 3, b"real": 1}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere", "link: its target does not exist"),
        ("file/below", "link: its target does not exist"),
        ("self", "link: loops"),
        ("other", "link: loops"),
        ("/dev/zero", "link: leads to a character device"),
        ("fifo", "link: leads to a FIFO"),
        ("n" * 256, "unreadable: File name too long"),
    ],
)
def test_links_that_must_not_be_opened(root: Path, target: str, reason: str) -> None:
    touch(root / "file")
    os.mkfifo(root / "fifo")
    link(root / "other", "self")
    link(root / "self", target)
    assert met(root)[b"self"] == ("rejected", reason)


def test_a_link_to_a_folder_of_the_input_is_not_followed(root: Path) -> None:
    touch(root / "folder" / "deep" / "file")
    link(root / "a", "folder")
    link(root / "z", "folder/deep")
    assert met(root) == {b"a": OWN_PLACE, b"folder/deep/file": OPEN, b"z": OWN_PLACE}


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "/"])
def test_a_link_to_a_folder_that_contains_it_is_a_loop(root: Path, target: str) -> None:
    touch(root / "folder" / "file")
    link(root / "folder" / "up", target)
    assert met(root) == {b"folder/file": OPEN, b"folder/up": HOLDER}


def test_a_folder_outside_is_followed_once(root: Path) -> None:
    touch(root.parent / "ext" / "file")
    link(root / "first", "../ext")
    link(root / "second", "../ext")
    assert met(root) == {b"first/file": OPEN, b"second": OTHER_LINK}


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("0", "1", {b"0/a/b/inner": OPEN, b"0/a/outer": OPEN, b"1": OTHER_LINK}),
        ("1", "0", {b"0/inner": OPEN, b"1/a/outer": OPEN}),
    ],
)
def test_links_to_a_folder_and_to_one_in_it(
    root: Path, outer: str, inner: str, expected: dict[bytes, tuple[str, str]]
) -> None:
    touch(root.parent / "ext" / "a" / "b" / "inner", root.parent / "ext" / "a" / "outer")
    link(root / outer, "../ext")
    link(root / inner, "../ext/a/b")
    assert met(root) == expected


def test_the_input_is_not_walked_again_inside_a_linked_folder(tmp_path: Path) -> None:
    root = tmp_path / "holder" / "in"
    touch(root / "file", tmp_path / "holder" / "other", tmp_path / "ext" / "file")
    link(root / "x", "../../ext")
    link(tmp_path / "ext" / "holder", "../holder")
    assert met(root) == {b"file": OPEN, b"x/file": OPEN, b"x/holder/other": OPEN}


def test_a_linked_folder_that_links_back(root: Path) -> None:
    ext = root.parent / "ext"
    touch(root / "sub" / "file", ext / "sub" / "file")
    link(root / "x", "../ext")
    link(ext / "input", root)
    link(ext / "sub" / "input_sub", root / "sub")
    link(ext / "sub" / "own", ext / "sub")
    link(ext / "sibling", "sub")
    assert met(root) == {
        b"sub/file": OPEN,
        b"x/input": HOLDER,
        b"x/sibling": OTHER_LINK,
        b"x/sub/file": OPEN,
        b"x/sub/input_sub": OWN_PLACE,
        b"x/sub/own": HOLDER,
    }


def test_a_root_that_is_a_link_is_walked(root: Path, tmp_path: Path) -> None:
    touch(root / "file")
    link(root / "up", root)
    link(tmp_path / "link", root)
    assert met(tmp_path / "link") == {b"file": OPEN, b"up": HOLDER}


def test_a_relative_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(root / "folder" / "file")
    link(root / "folder" / "link", "..")
    monkeypatch.chdir(root)
    assert met(Path()) == {b"folder/file": OPEN, b"folder/link": HOLDER}


def test_the_output_folder_is_left_out_by_whatever_name(root: Path) -> None:
    touch(root / "file", root / "out" / "png" / "mask.png")
    link(root.parent / "alias", root / "out")
    assert met(root, root.parent / "alias") == {b"file": OPEN}


def test_an_output_folder_that_is_not_there_yet(root: Path) -> None:
    touch(root / "file")
    assert met(root, root / "out") == {b"file": OPEN}


def test_the_output_of_an_earlier_run_is_left_out(root: Path) -> None:
    touch(root / "a" / "out" / "png" / "mask.png", root / "a" / "file")
    (root / "a" / "out" / "journal.jsonl").write_bytes(JOURNAL_MARK + b" 9}\n")
    assert met(root) == {b"a/file": OPEN}


def test_a_root_with_a_journal_is_walked(root: Path) -> None:
    touch(root / "file")
    (root / "journal.jsonl").write_bytes(JOURNAL_MARK)
    assert met(root) == dict.fromkeys((b"file", b"journal.jsonl"), OPEN)


@pytest.mark.parametrize("content", [b"", b'{"some": "journal"}\n', JOURNAL_MARK[:-1]])
def test_a_folder_with_a_journal_of_others_is_walked(root: Path, content: bytes) -> None:
    touch(root / "a" / "file")
    (root / "a" / "journal.jsonl").write_bytes(content)
    assert met(root) == dict.fromkeys((b"a/file", b"a/journal.jsonl"), OPEN)


def test_a_fifo_called_journal_is_not_opened(root: Path) -> None:
    fifo = root / "a" / "journal.jsonl"
    touch(root / "a" / "file")
    os.mkfifo(fifo)
    opened = threading.Event()

    def write() -> None:
        with fifo.open("wb"):  # waits until somebody opens it for reading
            opened.set()

    writer = threading.Thread(target=write)
    writer.start()
    found = met(root)
    assert not opened.wait(0.2)
    os.close(os.open(fifo, os.O_RDONLY))
    writer.join()
    assert found == {b"a/file": OPEN, b"a/journal.jsonl": ("rejected", "not-regular: is a FIFO")}


def test_links_into_results_are_not_followed(root: Path) -> None:
    out, earlier = root / "out", root.parent / "earlier"
    touch(root / "file", out / "png" / "mask.png", earlier / "png" / "mask.png")
    (earlier / "journal.jsonl").write_bytes(JOURNAL_MARK)
    for name, target in (("l1", out), ("l2", out / "png"), ("l3", earlier), ("l4", earlier / "png")):
        link(root / name, target)
    assert met(root, out) == {b"file": OPEN, **dict.fromkeys((b"l1", b"l2", b"l3", b"l4"), RESULTS)}


def test_what_vanishes_after_it_was_listed_is_rejected(root: Path) -> None:
    touch(root / "a", root / "b", root / "c" / "file", root / "d")
    entries = walk(root, None)
    next(entries)
    (root / "b").unlink()
    shutil.rmtree(root / "c")
    gone = ("rejected", "unreadable: No such file or directory")
    assert [(entry.path, entry.status, entry.reason) for entry in entries] == [
        (b"b", *gone),
        (b"c", *gone),
        (b"d", "", ""),
    ]


@contextmanager
def nobody() -> Iterator[None]:
    """Runs the test without root's permissions, even if the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_cannot_be_listed_is_rejected(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(root / "a", root / "closed" / "file", root / "z")
    monkeypatch.chdir(root)
    root.chmod(0o755)
    (root / "closed").chmod(0)
    with nobody():
        found = met(Path())
    (root / "closed").chmod(0o755)
    assert found == {b"a": OPEN, b"closed": ("rejected", "unreadable: Permission denied"), b"z": OPEN}


def test_a_root_that_is_gone_is_a_row(root: Path) -> None:
    assert met(root / "gone") == {b".": ("rejected", "unreadable: No such file or directory")}


@pytest.fixture
def deep(root: Path) -> Iterator[Path]:
    """3000 nested folders with a file in the 1500th: more than the recursion limit and PATH_MAX allow."""
    inner = os.open(root, os.O_RDONLY)
    for depth in range(1, 3001):
        os.mkdir("d", dir_fd=inner)
        outer, inner = inner, os.open("d", os.O_RDONLY, dir_fd=inner)
        os.close(outer)
        if depth == 1500:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
    os.close(inner)
    yield root
    subprocess.run(["rm", "-rf", "--", str(root)], check=True)


def test_folders_deeper_than_recursion_and_than_a_path_may_be(deep: Path) -> None:
    found = met(deep)
    assert found.pop(b"d/" * 1500 + b"file") == OPEN
    [(path, row)] = found.items()
    assert row == ("rejected", "unreadable: File name too long")
    assert len(os.fsencode(deep) + b"/" + path) >= 4096


@pytest.mark.parametrize(("name", "status"), [("a.DCM", "rejected"), ("a.nii.gz", "rejected"), ("a.bin", "skipped")])
def test_a_file_too_large_to_open(root: Path, name: str, status: str) -> None:
    touch(root / name)
    os.truncate(root / name, MAX_BYTES + 1)
    assert met(root) == {name.encode(): (status, f"too-large: has {MAX_BYTES + 1} bytes")}


def test_a_file_of_the_greatest_size_is_opened(root: Path) -> None:
    touch(root / "a.dcm")
    os.truncate(root / "a.dcm", MAX_BYTES)
    assert met(root) == {b"a.dcm": OPEN}


@pytest.mark.parametrize(
    ("name", "promises"),
    [
        (b"A.Dcm", True),
        (b"x.nii.gz", True),
        (b"\xff.jpeg", True),
        (b"README.txt", False),
        (b"x.gz", False),
        (b"dcm", False),
    ],
)
def test_names_that_promise_an_image(name: bytes, promises: bool) -> None:
    assert promises_image(name) is promises


@pytest.mark.slow
def test_20000_files_are_met_in_little_memory(root: Path) -> None:
    for folder in range(40):
        touch(*(root / f"{folder}" / f"image_{number:06}.dcm" for number in range(500)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in walk(root, None)) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150_000  # the names of one folder take 25 000 bytes, those of all a million


def test_a_single_file_has_the_entry_of_the_walk(root: Path) -> None:
    (root / "a").mkdir(exist_ok=True)
    (root / "a" / "x").write_bytes(b"x")
    (entry,) = (entry for entry in walk(root, None) if entry.path == b"a/x")
    assert meet_file(root, b"a/x") == entry
    assert meet_file(root / "a", os.fsencode(root / "a/x")).fingerprint == entry.fingerprint
    assert meet_file(root, b"a").reason == "not-regular: is a folder"
    assert meet_file(root, b"a/none").reason == "unreadable: No such file or directory"
