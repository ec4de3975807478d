import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from medseg.errors import ConfigError
from medseg.tracking import TrackingConfig
from medseg.tracking.sqlite import build_address, check_database, read_address
from medseg.tracking.store import find_store

NAMES = ["plain", "two words", "a%20b", "100%", "%", "what?x", "a#b", "x?timeout=5", "ü&key=1", "a+b@c:d", "'\"\n$(x)"]


@pytest.mark.parametrize("name", NAMES)
def test_sqlalchemy_reads_the_address_of_a_file_back_and_so_does_a_nested_run(name: str, tmp_path: Path) -> None:
    database = tmp_path / name / "mlflow.db"
    address = build_address(database)
    assert make_url(address).database == str(database)
    assert find_store(TrackingConfig(uri=address)).database == database


@pytest.mark.parametrize("name", NAMES)
def test_the_default_store_lies_in_the_working_folder_of_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert find_store(TrackingConfig()).database == tmp_path / name / "mlruns" / "mlflow.db"


@pytest.mark.parametrize(
    "address", ["sqlite:////a/some%20thing/m.db", "sqlite:////a/b c/%3F.db", "sqlite:////a/50%/m.db?timeout=9"]
)
def test_an_address_means_what_it_means_to_sqlalchemy(address: str) -> None:
    store, expected = find_store(TrackingConfig(uri=address)), make_url(address)
    assert str(store.database) == expected.database
    assert (make_url(store.uri).database, make_url(store.uri).query) == (expected.database, expected.query)


@pytest.mark.parametrize("query", ["x/mlflow.db", "", "mode=ro&uri=true"])
def test_a_question_mark_that_sets_nothing_is_named(query: str) -> None:
    with pytest.raises(ConfigError, match=r"what\?.* write \? as %3F"):
        read_address(f"sqlite:///what?{query}")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\\udcff.*Rename the folder"):
        build_address(tmp_path / os.fsdecode(b"\xff") / "mlflow.db")


def test_what_is_no_database_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        check_database(tmp_path)
