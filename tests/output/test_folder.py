import subprocess
import sys
from pathlib import Path

import pytest

from medseg.errors import OutputBusyError, StorageError
from medseg.output.folder import claim_folder, set_aside


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


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/out"), claim_folder(tmp_path / "file" / "out"):
        pass


def test_set_aside_moves_only_what_is_named(tmp_path: Path) -> None:
    for name in ("best.pt", "notes.txt"):
        (tmp_path / name).write_text(name)
    assert set_aside(tmp_path, ("best.pt", "last.pt")) == tmp_path / "earlier"
    assert (tmp_path / "earlier" / "best.pt").read_text() == "best.pt"
    assert (tmp_path / "notes.txt").exists()
    assert set_aside(tmp_path, ("best.pt",)) is None
