"""Which trainings go on when torchrun starts its processes again."""

from pathlib import Path

import pytest

from medseg.hardware.processes import ALONE
from medseg.training.recipe import Recipe
from medseg.training.restart import note_launcher, resume_restarted


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training that torchrun has started, this process being one of its."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    note_launcher(tmp_path)
    (tmp_path / "last.pt").touch()
    return tmp_path


def test_the_training_of_the_same_torchrun_goes_on(folder: Path) -> None:
    assert resume_restarted(Recipe(), folder, ALONE).train.resume is True


def test_that_of_another_torchrun_does_not(folder: Path) -> None:
    note = folder / ".torchrun"
    note.write_text(note.read_text() + "1")
    assert resume_restarted(Recipe(), folder, ALONE) == Recipe()


def test_nothing_to_go_on_from(folder: Path) -> None:
    (folder / "last.pt").unlink()
    assert resume_restarted(Recipe(), folder, ALONE) == Recipe()


def test_without_torchrun_nothing_is_noted_or_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert resume_restarted(Recipe(), folder, ALONE) == Recipe()
    (folder / ".torchrun").unlink()
    note_launcher(folder)
    assert not (folder / ".torchrun").exists()
