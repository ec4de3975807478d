import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from medseg.atomic import link_or_copy, open_atomically, write_text
from medseg.errors import StorageError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def small_files():
    """Files may not grow beyond 100 000 bytes: what a full disk feels like."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_file_appears_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "Größe")
    assert path.read_bytes() == "Größe".encode()
    assert names(path.parent) == ["a.txt"]


def test_nothing_is_seen_before_the_end(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with open_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, RuntimeError])
def test_error_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write_half():
        with open_atomically(path, tmp_path / "previous") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_previous_file_is_kept(tmp_path):
    path, previous = tmp_path / "a.bin", tmp_path / "a.previous.bin"
    for content in (b"1", b"2", b"3"):
        with open_atomically(path, previous) as file:
            file.write(content)
    assert (path.read_bytes(), previous.read_bytes()) == (b"3", b"2")
    assert names(tmp_path) == ["a.bin", "a.previous.bin"]


def test_permissions_follow_the_umask(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, small_files):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(StorageError, match=r"a\.bin: could not be written: File too large"), open_atomically(path) as f:
        f.write(bytes(10**6))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_full_disk_under_torch_save(tmp_path, small_files):
    """torch.save turns the error of the disk into a RuntimeError about positions."""
    path = tmp_path / "a.pt"
    with pytest.raises(StorageError, match=r"a\.pt: could not be written: File too large"), open_atomically(path) as f:
        torch.save({"a": torch.zeros(10**6)}, f)
    assert names(tmp_path) == []


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/a\.txt"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_threads_do_not_mix(tmp_path):
    path = tmp_path / "a.txt"
    threads = [threading.Thread(target=write_text, args=(path, str(n) * 100_000)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(path.read_text()) in [{str(n)} for n in range(8)]
    assert names(tmp_path) == ["a.txt"]


def test_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from medseg.atomic import open_atomically\n"
        "with open_atomically(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_a_second_name_is_the_same_file(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    for _ in range(2):
        link_or_copy(tmp_path / "a", tmp_path / "new" / "b")
        assert (tmp_path / "new" / "b").samefile(tmp_path / "a")


def test_another_file_at_the_second_name_is_replaced(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").write_bytes(b"older")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_on_another_file_system_is_copied(tmp_path):
    with TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is no other file system")
        (Path(other) / "a").write_bytes(b"content")
        link_or_copy(Path(other) / "a", tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
