import json
from pathlib import Path

import pytest

from medseg.errors import ConfigError
from medseg.evaluation.begun import read_begun

SETTINGS = {"seed": 1, "predict.threshold": 0.5}


def test_the_state_is_read_if_its_settings_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_begun(path, SETTINGS, "sweep") is None
    path.write_text(json.dumps({"run_id": "a", "config": SETTINGS, "data": "b"}))
    assert read_begun(path, SETTINGS, "sweep") == {"run_id": "a", "config": SETTINGS, "data": "b"}
    path.write_text(json.dumps({"run_id": "a", "config": {"seed": 1, "inference.threshold": 0.5}}))
    assert read_begun(path, SETTINGS, "sweep") is not None  # the section's old name


def test_other_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"run_id": "a", "config": {"seed": 2, "old": 1}}))
    with pytest.raises(ConfigError, match=r"holds a sweep with other values of old, predict.threshold, seed\. Start"):
        read_begun(tmp_path / "state.json", SETTINGS, "sweep")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run_id": 1}', '{"config": {}}', '{"run_id": 1, "config": 2}'])
def test_a_damaged_state_is_not_resumed(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ConfigError, match=r"state.json: damaged; this sweep cannot be resumed"):
        read_begun(tmp_path / "state.json", SETTINGS, "sweep")
