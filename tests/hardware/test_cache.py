import os
import stat
import tempfile
from pathlib import Path

import pytest

from medseg.hardware.cache import cache_folder


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of a user without a home."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "medseg"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other" / "medseg"


def test_without_a_home_it_is_a_folder_of_the_user_alone(homeless: Path) -> None:
    folder = cache_folder()
    assert folder == cache_folder() == homeless / f"medseg-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("squat", ["writable", "link", "file", "other's"])
def test_what_others_may_write_there_is_not_taken(squat: str, homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = homeless / f"medseg-{os.getuid()}"
    (homeless / "elsewhere").mkdir()
    if squat == "link":
        taken.symlink_to(homeless / "elsewhere")
    elif squat == "file":
        taken.touch(0o600)
    else:
        taken.mkdir()
        taken.chmod(0o777 if squat == "writable" else 0o755)
    if squat == "other's":
        user = os.getuid()
        (homeless / f"medseg-{user + 1}").mkdir()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
    folder = cache_folder()
    assert folder.parent == homeless
    assert folder.name not in (f"medseg-{os.getuid()}", "elsewhere")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
