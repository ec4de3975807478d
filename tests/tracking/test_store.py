import shlex
from pathlib import Path

import pytest

from medseg.tracking.config import TrackingConfig
from medseg.tracking.store import Store, find_store, mask_all, mask_credentials


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://joe:pa@ss@host:5000/x", "https://***@host:5000/x"),
        ("postgresql+psycopg2://joe:pw@db/mlflow and more", "postgresql+psycopg2://***@db/mlflow and more"),
        ("https://token@host", "https://***@host"),
        ("https://host/x?api_key=abc&b=1", "https://host/x?api_key=***&b=1"),
        ("sqlite:////home/joe@work/mlflow.db", "sqlite:////home/joe@work/mlflow.db"),
        ("mail joe@example.org", "mail joe@example.org"),
    ],
)
def test_credentials_are_masked_and_nothing_else(text: str, masked: str) -> None:
    assert mask_credentials(text) == masked
    assert mask_all({"a": [text, 1, None]}) == {"a": [masked, 1, None]}


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert find_store(TrackingConfig()).database == tmp_path / "mlruns" / "mlflow.db"
    assert find_store(TrackingConfig(uri="sqlite:///a/b.db")).uri == f"sqlite:///{tmp_path}/a/b.db"


def test_the_ui_command_is_exact_and_shows_no_credentials() -> None:
    words = shlex.split(Store("sqlite:////with space/mlflow.db", Path("/with space/mlflow.db")).ui_command)
    assert words[-3:] == ["ui", "--backend-store-uri", "sqlite:////with space/mlflow.db"]
    assert Path(words[-4]).exists()
    assert Store("https://joe:pw@host", None).ui_command == "https://***@host"
    assert Store("postgresql://joe:pw@host/db", None).ui_command.endswith('"$MLFLOW_TRACKING_URI"')
