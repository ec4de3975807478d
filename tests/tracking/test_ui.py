"""The MLflow UI and server, looked at from outside: needs seconds to start, hence marked `browser`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from mlflow import MlflowClient

from medseg.output.drawing import draw_strip
from medseg.tracking import Run, TrackingConfig, download_model_checkpoint, start_run
from medseg.tracking.sqlite import build_address
from tests.support.mlflow_stores import copy_store
from tests.support.mlflow_ui import SHOWN, open_ui

from .test_logged_model import build_network

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def runs(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    database = copy_store(empty_database, tmp_path_factory.mktemp("ui") / "a%20b what?x#y" / "mlruns")
    tracking = TrackingConfig(uri=build_address(database), system_metrics=False)
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
    with open_ui(runs[0].ui_command, tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    page = browser.new_page(viewport={"width": 1700, "height": 1200})
    page.set_default_timeout(120_000)  # a slow machine is given
    yield page
    page.close()


def test_the_list_shows_both_runs_and_what_the_experiment_is(server: str, runs: list[Run], page: "Page") -> None:
    page.goto(f"{server}/#/experiments/1/runs")
    for text in (*(run.name for run in runs), "Segmentation of radiographs. Research use only. Not for clinical use."):
        page.get_by_text(text).first.wait_for()


def test_the_page_of_a_run_shows_metrics_and_a_picture(server: str, runs: list[Run], page: "Page") -> None:
    page.goto(f"{server}/#/experiments/1/runs/{runs[0].id}/model-metrics")
    for name in ("val/strips", "loss", "dice", "miou"):
        page.get_by_text(name, exact=True).first.scroll_into_view_if_needed()
    page.wait_for_function(f"{SHOWN}('val~strips%2Bstep%2B0')")


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
