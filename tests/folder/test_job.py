from dataclasses import replace
from pathlib import Path

import pytest

from medseg.folder.sink import FolderSink
from medseg.folder.source import FolderSource
from medseg.inference import configuration
from medseg.model.checkpoint import Accepts
from tests.support.folder_jobs import build_job

JOB = build_job(Path("in"), Path("out"))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "f" * 16},
        {"backend": "torch/cpu/bf16"},
        {"formats": ("png", "seg")},
        {"accepts": Accepts()},
        {"tta": ("mirror",)},
        {"decision": replace(JOB.decision, thresholds=(0.5, 0.6))},
        {"uids": True},
        {"reduce": True},
    ],
)
def test_what_decides_the_results_decides_the_key(change):
    assert replace(JOB, **change).key != JOB.key


def test_keys_are_those_under_which_journals_of_earlier_versions_stand():
    assert (JOB.key, JOB.configuration) == ("3dad9e4bc344899e", "a045264a4bd69813")


def test_folders_do_not(tmp_path):
    moved = replace(JOB, source=FolderSource(tmp_path / "in"), sink=FolderSink(tmp_path))
    assert (moved.key, moved.configuration) == (JOB.key, JOB.configuration)


def test_formats_do_not_change_the_configuration_of_the_masks():
    assert replace(JOB, formats=("overlay",)).configuration == JOB.configuration
    assert replace(JOB, tta=("mirror",)).configuration != JOB.configuration
    assert replace(JOB, reduce=True).configuration != JOB.configuration


def test_other_arithmetic_makes_other_masks(monkeypatch):
    before = JOB.key, JOB.configuration
    monkeypatch.setattr(configuration, "_ARITHMETIC", configuration._ARITHMETIC + 1)
    assert before[0] != JOB.key
    assert before[1] != JOB.configuration
