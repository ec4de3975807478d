import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient

from medseg.errors import ConfigError
from medseg.tracking import TrackingConfig
from medseg.tracking.registry import open_registry

from .test_logged_model import log


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.slow
def test_versions_are_found_by_run_and_file_and_one_is_the_champion(tracking: TrackingConfig, tmp_path: Path) -> None:
    first, second = (log(tracking, tmp_path / "out", seed, register="chest") for seed in (0, 1))
    log(tracking, tmp_path / "out", 1, register="other")
    with open_registry(tracking, "chest") as registry:
        found = [registry.find_version(run, digest(f"checkpoint {n}")) for run, n in ((first, 0), (second, 1))]
        assert found == ["1", "2"]
        assert registry.find_version(first, digest("checkpoint 1")) is None
        assert registry.find_version("0" * 32, digest("checkpoint 0")) is None
        assert registry.find_champion() is None
        registry.set_champion("2")
        assert registry.find_champion() == "2"
        registry.set_champion("1")
        assert registry.find_champion() == "1"
        assert registry.find_checkpoint("1").read_text() == "checkpoint 0"
    assert MlflowClient(tracking.uri).get_model_version_by_alias("chest", "champion").version == 1


def test_decisions_are_counted_by_test_set(tracking: TrackingConfig) -> None:
    MlflowClient(tracking.uri).create_registered_model("chest")
    for expected in (1, 2):
        with open_registry(tracking, "chest") as registry:
            assert registry.count_decision("a" * 32, "the same words") == expected
    with open_registry(tracking, "chest") as registry:
        assert registry.count_decision("b" * 32, "others") == 1
    tags = MlflowClient(tracking.uri).get_registered_model("chest").tags
    assert sorted((tag.split(".")[2][0], words) for tag, words in tags.items()) == [
        ("a", "the same words"),
        ("a", "the same words"),
        ("b", "others"),
    ]


def test_one_command_at_a_time_decides(tracking: TrackingConfig) -> None:
    MlflowClient(tracking.uri).create_registered_model("chest")
    waiting = threading.Event()

    def read_champion() -> str | None:
        waiting.set()
        with open_registry(tracking, "chest") as registry:
            return registry.find_champion()

    with ThreadPoolExecutor(1) as other:
        with open_registry(tracking, "chest"):
            found = other.submit(read_champion)
            assert waiting.wait(60)
            with pytest.raises(TimeoutError):
                found.result(timeout=1)
        assert found.result(timeout=60) is None


def test_a_name_that_is_not_registered_is_named(tracking: TrackingConfig) -> None:
    with pytest.raises(ConfigError, match="no registered model 'chets'"), open_registry(tracking, "chets"):
        pass


def test_an_error_of_what_is_done_meanwhile_is_not_the_stores(tracking: TrackingConfig) -> None:
    MlflowClient(tracking.uri).create_registered_model("chest")
    with pytest.raises(FileNotFoundError), open_registry(tracking, "chest"):
        Path("nowhere").read_bytes()


def test_a_store_that_fails_under_way_is_named(tracking: TrackingConfig) -> None:
    client = MlflowClient(tracking.uri)
    client.create_registered_model("chest")
    with open_registry(tracking, "chest") as registry:
        client.delete_registered_model("chest")
        for call in (
            registry.find_champion,
            lambda: registry.set_champion("1"),
            lambda: registry.count_decision("a", ""),
        ):
            with pytest.raises(ConfigError, match=r"not usable as an MLflow store: .*chest"):
                call()
