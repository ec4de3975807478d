"""What tests share: a small data set with known shapes, and the folder of shared real data where there is one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medseg.log import show_log
from medseg.tracking.config import TrackingConfig
from tests.support.mlflow_stores import copy_store
from tests.support.shape_images import write_png_folder
from tests.support.shared_data import SHARED

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads at such small work, beside other tests, wait for each other


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data of {SHARED}")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium without a window. Of a module, since no other event loop can run in this thread while it lives."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """What is printed, with what the library logs on stderr as in a command."""
    with show_log():
        yield capsys


@pytest.fixture
def png_folder(tmp_path: Path) -> Path:
    return write_png_folder(tmp_path / "data", 24)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database without an experiment of ours."""
    from medseg.tracking.store import find_store, open_store

    store = find_store(TrackingConfig(uri=f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"))
    with open_store(store):
        pass
    assert store.database is not None
    return store.database


@pytest.fixture
def tracking(tmp_path: Path, empty_database: Path) -> TrackingConfig:
    return TrackingConfig(uri=f"sqlite:///{copy_store(empty_database, tmp_path / 'mlruns')}", system_metrics=False)
