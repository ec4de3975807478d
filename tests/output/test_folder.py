import subprocess
import sys
from pathlib import Path

import pytest

from medseg.errors import OutputBusyError, StorageError
from medseg.output.folder import claim_folder, hold_folder, set_aside


def test_another_process_is_kept_out_until_the_first_ends(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from medseg.output.folder import claim_folder
with claim_folder(Path({str(tmp_path)!r})):
    pass
"""
    with claim_folder(tmp_path):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert OutputBusyError.__name__ in done.stderr
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_held_folder_keeps_others_out_and_is_refused_if_another_has_it(tmp_path: Path) -> None:
    with hold_folder(tmp_path), pytest.raises(OutputBusyError, match="choose another"), claim_folder(tmp_path):
        pass
    with claim_folder(tmp_path), pytest.raises(OutputBusyError, match="wait until it ends"), hold_folder(tmp_path):
        pass


def test_a_folder_that_takes_no_lock_is_held_without(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with hold_folder(tmp_path):
        assert (tmp_path / ".lock").is_dir()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/out"), claim_folder(tmp_path / "file" / "out"):
        pass


def test_set_aside_moves_only_what_is_named(tmp_path: Path) -> None:
    for name in ("best.pt", "notes.txt"):
        (tmp_path / name).write_text(name)
    assert set_aside(tmp_path, ("best.pt", "last.pt")) == tmp_path / "earlier" / "1"
    assert (tmp_path / "earlier" / "1" / "best.pt").read_text() == "best.pt"
    assert (tmp_path / "notes.txt").exists()
    assert set_aside(tmp_path, ("best.pt",)) is None


def test_each_run_is_set_aside_on_its_own(tmp_path: Path) -> None:
    for run in ("first", "second"):
        (tmp_path / "best.pt").write_text(run)
        set_aside(tmp_path, ("best.pt",))
    assert [(tmp_path / "earlier" / n / "best.pt").read_text() for n in "12"] == ["first", "second"]


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.pt.0a1b2c3d.tmp").write_bytes(b"half")
    with claim_folder(tmp_path):
        assert not list(tmp_path.glob(".*.tmp"))


def test_what_a_killed_process_was_writing_is_gone_at_both_ends(tmp_path):
    (tmp_path / "png" / "heart").mkdir(parents=True)
    places = (tmp_path, tmp_path / "png" / "heart")
    for place in places:
        (place / ".x.png.12345678.tmp").touch()
        (place / "x.png").touch()
    with claim_folder(tmp_path, ("png/*",)):
        assert not list(tmp_path.rglob("*.tmp"))
        for place in places:
            (place / ".y.png.12345678.tmp").touch()
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(list(tmp_path.rglob("x.png"))) == 2
