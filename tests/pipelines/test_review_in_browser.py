"""Two trained models reviewed as a person would: in the MLflow UI and in report.html, in a browser."""

import csv
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from medseg.evaluation.review import NUM_WORST
from medseg.tracking import TrackingConfig, start_run
from pipelines.evaluate_xray import main
from tests.support.mlflow_stores import copy_store
from tests.support.mlflow_ui import SHOWN, open_ui
from tests.support.model_files import write_model
from tests.support.shape_images import write_png_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NUM_CASES = 7
Trained = tuple[Path, Path, subprocess.CompletedProcess[str]]
RECIPES = ("narrow", "wide")

READ_ROW = """name => {
    const row = name.closest("[style*='top:']"), table = row.closest("[class*='collapse-content-box']");
    const cells = [...table.querySelectorAll("[style*='top:']")].filter(cell => cell.style.top === row.style.top);
    return cells.map(cell => cell.innerText.trim()).filter(Boolean);
}"""
"""The cells of the compare view, two grids side by side, that stand as high as the one with a name."""


@dataclass(frozen=True)
class Review:
    """A store with two trainings, each with its evaluation, and the UI on it."""

    address: str
    evaluated: tuple[str, ...]
    folders: tuple[Path, ...]

    @property
    def metrics(self) -> list[dict[str, float]]:
        return [json.loads((folder / "metrics.json").read_text()) for folder in self.folders]


@pytest.fixture(scope="module")
def review(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    folder = tmp_path_factory.mktemp("review")
    uri = f"sqlite:///{copy_store(empty_database, folder / 'mlruns')}"
    data = write_png_folder(folder / "data", NUM_CASES)
    for seed, recipe in enumerate(RECIPES):
        tracking = TrackingConfig(uri=uri, run_name=recipe, system_metrics=False)
        with start_run(tracking, parameters={"model.width": 4 + seed}) as run:
            write_model(folder / recipe / "best.pt", ("box", "disc"), seed, run_id=run.id)
        files = (f"model={folder / recipe / 'best.pt'}", f"output.dir={folder / recipe / 'evaluated'}")
        main([*files, f"data.root={data}", f"tracking.uri={uri}"])
    client = MlflowClient(uri)
    runs = {found.info.run_name: found.info.run_id for found in client.search_runs(["1"])}
    with open_ui(run.ui_command, folder) as address:
        yield Review(
            address,
            tuple(runs[f"{recipe} on data"] for recipe in RECIPES),
            tuple(folder / recipe / "evaluated" for recipe in RECIPES),
        )


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    page = browser.new_page(viewport={"width": 1500, "height": 1400})
    page.set_default_timeout(120_000)  # a slow machine is given
    yield page
    page.close()


def test_final_scores_of_a_training_are_bars_and_epochs_are_lines(
    trained: Trained, tmp_path: Path, page: "Page"
) -> None:
    _, out, done = trained
    run_id = json.loads((out / "summary.json").read_text())["run_id"]
    with open_ui(done.stdout.partition("to look at it: ")[2].splitlines()[0], tmp_path) as address:
        page.goto(f"{address}/#/experiments/1/runs/{run_id}/model-metrics")
        for section, drawn in (("test", ".barlayer .point"), ("val", ".scatterlayer .js-line")):
            name = page.get_by_text(section, exact=True).first
            name.scroll_into_view_if_needed()
            page.locator("[class*=collapse-item]").filter(has=name).locator(drawn).first.wait_for(state="attached")


def test_evaluations_stand_below_their_trainings(review: Review, page: "Page") -> None:
    page.goto(f"{review.address}/#/experiments/1/runs")
    for recipe in RECIPES:
        page.get_by_role("link", name=recipe, exact=True).wait_for()
        assert page.get_by_role("link", name=f"{recipe} on data", exact=True).count() == 0
    page.goto(f"{review.address}/#/experiments/1/runs/{review.evaluated[0]}")
    page.get_by_text("Parent run", exact=True).wait_for()
    page.get_by_role("link", name=RECIPES[0], exact=True).wait_for()


def test_metrics_of_both_runs_stand_side_by_side(review: Review, page: "Page") -> None:
    runs = ",".join(f"%22{run}%22" for run in review.evaluated)
    page.goto(f"{review.address}/#/compare-runs?runs=%5B{runs}%5D&experiments=%5B%221%22%5D")
    for recipe in RECIPES:
        page.get_by_text(f"{recipe} on data", exact=True).first.wait_for()
    name = page.locator("[role=grid]").get_by_text("evaluation/dice_box", exact=True)
    name.wait_for(state="attached")
    shown = name.evaluate(READ_ROW)
    assert shown[0] == "evaluation/dice_box"
    assert [float(text) for text in shown[1:]] == pytest.approx([m["dice_box"] for m in review.metrics], abs=6e-4)


def test_the_worst_cases_are_shown(review: Review, page: "Page") -> None:
    page.goto(f"{review.address}/#/experiments/1/runs/{review.evaluated[0]}/model-metrics")
    for rank in range(1, NUM_WORST + 1):
        page.get_by_text(f"cases/worst_{rank}", exact=True).scroll_into_view_if_needed()
        page.wait_for_function(SHOWN, arg=f"cases~worst_{rank}%2Bstep")


def test_the_table_of_cases_is_shown(review: Review, page: "Page") -> None:
    page.goto(f"{review.address}/#/experiments/1/runs/{review.evaluated[1]}/artifacts/per_case.json")
    for text in ("case", "patient", "dice_box", *(row["case"] for row in read_table(review, 1))):
        page.get_by_text(text, exact=True).first.wait_for()


def test_the_report_works_within_the_ui(review: Review, page: "Page") -> None:
    page.goto(f"{review.address}/#/experiments/1/runs/{review.evaluated[0]}/artifacts/report.html")
    use_report(page.frame_locator("iframe"), page, review, 0)


def test_the_report_works_alone_and_asks_for_no_other_file(review: Review, page: "Page") -> None:
    address = (review.folders[1] / "report.html").as_uri()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    use_report(page, page, review, 1)
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert said == []


def use_report(report: "FrameLocator | Page", page: "Page", review: Review, place: int) -> None:
    """Move the slider, go through the cases by keys, sort the table."""
    overlay, slider = report.locator(".current .overlay"), report.locator(".current input[type=range]")
    picture, clip = report.locator(".current .picture"), "e => getComputedStyle(e).clipPath"
    overlay.wait_for()
    assert count_colored(picture.screenshot()) > 0
    slider.fill("40")
    assert overlay.evaluate(clip) == "inset(0px 60% 0px 0px)"
    slider.focus()
    page.keyboard.press("Home")
    assert overlay.evaluate(clip) == "inset(0px 100% 0px 0px)"
    assert count_colored(picture.screenshot()) == 0
    names = report.locator("figure.case h3").all_text_contents()
    report.locator(".viewer").focus()
    page.keyboard.press("ArrowRight")
    assert report.locator("figure.case.current h3").text_content() == names[1]
    page.keyboard.press("ArrowLeft")
    assert report.locator("figure.case.current h3").text_content() == names[0]
    rows = sorted(read_table(review, place), key=lambda row: float(row["dice_box"]))
    worst_first = [row["case"] for row in rows]
    for order in (worst_first, worst_first[::-1]):
        report.locator("#per-case th[data-metric=dice_box] button").click()
        assert report.locator("#per-case tbody th").all_inner_texts() == order


def count_colored(screenshot: bytes) -> int:
    """The pixels that are not gray, as the radiograph is."""
    pixels = np.asarray(Image.open(io.BytesIO(screenshot)).convert("RGB"))
    return int((np.ptp(pixels, axis=-1) > 30).sum())


def read_table(review: Review, place: int) -> list[dict[str, str]]:
    with (review.folders[place] / "per_case.csv").open(newline="") as file:
        return list(csv.DictReader(file))
