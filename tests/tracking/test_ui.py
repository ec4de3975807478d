"""The MLflow UI and server, looked at from outside: needs seconds to start, hence marked `browser`."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from medseg.tracking import Run, TrackingConfig, download_model_checkpoint, start_run
from medseg.tracking.pictures import draw_strip

from .conftest import copy_store
from .test_logged_model import build_network

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def runs(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    database = copy_store(empty_database, tmp_path_factory.mktemp("ui") / "mlruns")
    tracking = TrackingConfig(uri=f"sqlite:///{database}", system_metrics=False)
    masks = np.zeros((2, 64, 64), bool)
    masks[0, 10:30, 10:30] = masks[1, 20:50, 30:50] = True
    strip = draw_strip(np.random.default_rng(0).random((64, 64), np.float32), masks, masks)
    runs = []
    for recipe in ("train_xray", "chest_xray"):
        with start_run(tracking, parameters={"seed": 0}, tags={"medseg.data": recipe}) as run:
            for epoch in (1, 2, 3):
                run.log_metrics({"train/loss": 1 / epoch, "val/dice": 1 - 0.5**epoch, "val/miou": 0.5}, epoch)
                run.log_image(strip, "val/strips", epoch)
            runs.append(run)
    return runs


@pytest.fixture(scope="module")
def server(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the UI, started by the line that a training prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    command = [*shlex.split(runs[0].ui_command), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, process, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the group that this process leads
        process.wait()


def wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 45
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the MLflow UI did not start: {log.read_text()[-2000:]}")


def render(page: str, folder: Path, height: int, budget_ms: int) -> str:
    """The page as a browser builds it: `budget_ms` of the browser's own clock after the last request."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    options = [f"--user-data-dir={folder}", f"--window-size=1700,{height}", f"--virtual-time-budget={budget_ms}"]
    command = [CHROMIUM, *FLAGS, "--disable-component-update", *options, "--dump-dom", page]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_list_shows_both_runs_and_what_the_experiment_is(server: str, runs: list[Run], tmp_path: Path) -> None:
    page = render(f"{server}/#/experiments/1/runs", tmp_path, 1200, 20_000)
    assert all(run.name in page for run in runs)
    assert "Research use only. Not for clinical use." in page


def test_the_page_of_a_run_shows_metrics_and_a_picture(server: str, runs: list[Run], tmp_path: Path) -> None:
    page = render(f"{server}/#/experiments/1/runs/{runs[0].id}/model-metrics", tmp_path, 4000, 120_000)
    assert all(f"({name})" in page for name in ("train/loss", "val/dice", "val/miou"))
    assert "val/strips" in page
    assert "get-artifact?path=images%2Fval~strips%2Bstep%2B0" in page


def test_a_run_is_recorded_through_a_server(server: str, tmp_path: Path) -> None:
    tracking = TrackingConfig(uri=server, experiment="through a server", system_metrics=False)
    (tmp_path / "best.pt").write_text("checkpoint")
    with start_run(tracking, parameters={"seed": 0}) as run:
        run.log_metrics({"val/dice": 0.5}, 1)
        run.log_text("x", "x.txt")
        run.log_model(build_network(0), np.zeros((2, 1, 20, 32), np.float32), tmp_path / "best.pt", {}, "chest")
    found = MlflowClient(server).get_run(run.id)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"val/dice": 0.5})
    assert run.ui_command == server
    for model in (f"runs:/{run.id}/model", "models:/chest/1"):
        assert download_model_checkpoint(model, tracking).read_text() == "checkpoint"
