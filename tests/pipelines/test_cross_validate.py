"""The folds, what is said of all cases together, and what a killed cross-validation goes on with."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medseg.commands.cross_validate import CrossValidateConfig
from medseg.config import parse_args
from medseg.data.cases import find_cases
from medseg.errors import CheckpointError, ConfigError, DataError
from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.folds import build_folds, measure_folds
from medseg.evaluation.summary import sum_up
from medseg.hardware.device import find_hardware
from medseg.training.recipe import Recipe, write_recipe
from pipelines import cross_validate, train_xray, verify
from tests.support.prediction_command import predict, rows
from tests.support.processes import ROOT
from tests.support.shape_images import write_png_folder
from tests.support.training_command import TINY, run_of, weights

pytestmark = pytest.mark.slow

FOLDS = (
    "split.folds=2",
    "train.epochs=6",
    "train.batch_size=1",
    "optim.learning_rate=0.01",
    "optim.ema_decay=0.8",
    "data.cache_gib=1e-9",
)
KILLED = """
import os, signal
from medseg.tracking.run import Run
from medseg.commands.running import run_command
from pipelines.cross_validate import main

log_model = Run.log_model

def log_or_die(run, *rest):
    if run.name.endswith("fold 1"):
        os.kill(os.getpid(), signal.SIGKILL)
    log_model(run, *rest)

Run.log_model = log_or_die
run_command(main)
"""
Crossed = tuple[Path, Path, str]


def run_here(*arguments: object, main: Callable[[Sequence[str]], None] = cross_validate.main) -> None:
    """The command in this process, which has imported what is heavy."""
    main([*TINY, *FOLDS, *map(str, arguments)])


def write_data(folder: Path) -> Path:
    """A manifest of 24 radiographs of 12 patients."""
    write_png_folder(folder, 24)
    lines = [f"images/{c}.png,masks/box/{c}.png,masks/disc/{c}.png" for c in (f"case{n:02d}" for n in range(24))]
    table = "\n".join(f"{line},brown{number // 2}" for number, line in enumerate(lines))
    manifest = folder / "shapes.csv"
    manifest.write_text(f"image,mask_box,mask_disc,patient\n{table}\n")
    return manifest


def read_summary(folder: Path) -> dict:  # type: ignore[type-arg]
    return json.loads((folder / "summary.json").read_text())


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "per_case.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same_weights(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory, store: str) -> Crossed:
    """Two folds without a break: the data, the output folder and what was printed."""
    folder = tmp_path_factory.mktemp("crossed")
    data = write_data(folder / "data")
    with redirect_stdout(StringIO()) as told, redirect_stderr(told):
        run_here(f"data.root={data}", f"output.dir={folder / 'out'}", f"tracking.uri={store}")
    return data, folder / "out", told.getvalue()


def test_every_case_is_predicted_once_by_the_model_that_has_not_seen_it(crossed: Crossed) -> None:
    data, out, told = crossed
    seen = {}
    for fold in ("0", "1"):
        names = {path.name for path in (out / f"fold{fold}").iterdir()}
        assert {"best.pt", "last.pt", "summary.json", "config.yaml"} <= names
        card = torch.load(out / f"fold{fold}" / "best.pt", weights_only=True)["card"]
        seen[fold] = {digest[:16] for digest in (*card["train_digests"], *card["validation_digests"])}
    table = read_table(out)
    assert [row["case"] for row in table] == sorted(path.stem for path in (data.parent / "images").iterdir())
    for row in table:
        assert [fold for fold in seen if row["digest"] not in seen[fold]] == [row["by_fold"]]
        masks = out.glob(f"fold*/masks/disc/{row['case']}.png")
        assert [path.parts[-4] for path in masks] == [f"fold{row['by_fold']}"]
    summary = read_summary(out)
    assert [part["fold"] for part in summary["folds"]] == [0, 1]
    assert sum(part["cases"]["test"] for part in summary["folds"]) == summary["cases"] == 24
    assert f"model: {out} (an ensemble of 2 networks)" in told
    assert "Research use only" in told


def test_the_ensemble_has_a_card_and_a_receipt(crossed: Crossed, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = crossed
    text, summary = (out / "card.md").read_text(), read_summary(out)
    low, high = summary["test"]["dice_disc_ci95"]
    assert f"| Dice disc | {summary['test']['dice_disc']:.4f} [{low:.4f}, {high:.4f}] |" in text
    assert "in each of 2 networks" in text
    assert "24 cases of 12 patients" in text
    assert verify.main([str(out)]) == 0
    items = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {name for name, *_ in items} >= {"configuration", "split", "data", "weights", "scores"}
    assert {verdict for _, verdict in items} == {"same"}


def test_images_of_one_patient_are_in_one_fold_and_no_patient_is_named(crossed: Crossed) -> None:
    _, out, told = crossed
    pairs = {(int(row["case"].removeprefix("case")) // 2, row["patient"], row["by_fold"]) for row in read_table(out)}
    assert len(pairs) == read_summary(out)["patients"] == 12
    written = [(out / name).read_text() for name in ("per_case.csv", "metrics.json", "summary.json", "report.html")]
    assert "brown" not in "".join((*written, told))


def test_each_image_is_another_patient_where_asked(crossed: Crossed) -> None:
    data, out, _ = crossed
    asked = (f"data.root={data}", f"output.dir={out}", "split.patients=image")
    config = parse_args(CrossValidateConfig, [*TINY, *FOLDS, *asked])
    found = find_cases(config.data)
    measured = measure_folds(build_folds(found, config), found, config.data, find_hardware("cpu"))
    assert len({case.result.patient for case in measured}) == 24


def test_scores_over_all_cases_are_those_of_the_written_masks(crossed: Crossed) -> None:
    from sklearn.metrics import confusion_matrix, f1_score

    data, out, _ = crossed
    test = read_summary(out)["test"]
    dice, miou = {}, []
    for name in ("box", "disc"):
        masks = sorted(out.glob(f"fold*/masks/{name}/*.png"), key=lambda path: path.name)
        predicted = [np.asarray(Image.open(path)).ravel() > 0 for path in masks]
        folder = data.parent / "masks" / name
        reference = [np.asarray(Image.open(folder / path.name)).ravel() > 0 for path in masks]
        dice[name] = np.mean([f1_score(r, p) for r, p in zip(reference, predicted, strict=True)])
        (tn, fp), (fn, tp) = confusion_matrix(np.concatenate(reference), np.concatenate(predicted))
        miou.append((tp / (tp + fp + fn) + tn / (tn + fp + fn)) / 2)
        assert 0.3 < dice[name] == pytest.approx(test[f"dice_{name}"], abs=1e-6)
        low, high = test[f"dice_{name}_ci95"]
        assert low <= dice[name] <= high
    assert test["dice"] == pytest.approx(np.mean(list(dice.values())), abs=1e-6)
    assert test["miou"] == pytest.approx(np.mean(miou), abs=1e-6)
    assert {f"{m}{e}" for m in ("dice", "iou", "miou", "iou_box", "iou_disc") for e in ("", "_ci95")} <= test.keys()
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["best_threshold"] == {}  # each fold has its own
    by_fold = metrics["by"]["fold"]
    for part in read_summary(out)["folds"]:
        found = by_fold[str(part["fold"])]
        assert found["cases"] == part["cases"]["test"]
        assert {name: found[name] for name in part["test"]} == pytest.approx(part["test"], abs=1e-6)


def test_runs_of_the_folds_are_nested_under_one(crossed: Crossed, store: str) -> None:
    from medseg.tracking.store import import_mlflow

    _, out, _ = crossed
    summary = read_summary(out)
    parent = run_of(store, summary["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["test/dice"] == pytest.approx(summary["test"]["dice"])
    assert parent.data.metrics["test_low/dice"] == pytest.approx(summary["test"]["dice_ci95"][0])
    client = import_mlflow().MlflowClient(store)
    for part in summary["folds"]:
        run = run_of(store, part["run_id"])
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.run_name == f"{parent.info.run_name} fold {part['fold']}"
        assert (run.info.status, run.data.params["split.fold"]) == ("FINISHED", str(part["fold"]))
        assert run.data.metrics.keys() >= {"test/dice", "test/miou"}
        assert "check.json" not in {file.path for file in client.list_artifacts(part["run_id"])}  # the parent has it
    curve = client.get_metric_history(parent.info.run_id, "folds/dice_disc")
    assert [(m.step, m.value) for m in curve] == [(p["fold"], p["test"]["dice_disc"]) for p in summary["folds"]]
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert "check.json" in files  # of all cases, which no fold checks again
    assert "check.json" not in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"summary.json", "config.yaml", "per_case.json", "per_case.csv", "report.html", "cases"} <= files
    assert "check.json" in files


def test_a_fold_is_what_train_xray_trains(crossed: Crossed, tmp_path: Path, store: str) -> None:
    data, out, _ = crossed
    arguments = ("split.fold=1", f"data.root={data}", f"output.dir={tmp_path}", f"tracking.uri={store}")
    run_here(*arguments, main=train_xray.main)
    assert same_weights(tmp_path / "best.pt", out / "fold1" / "best.pt")
    assert read_summary(tmp_path)["test"] == read_summary(out / "fold1")["test"]


def test_killed_before_a_fold_is_recorded_and_run_again_equals_unbroken(
    crossed: Crossed, tmp_path: Path, store: str, shown: pytest.CaptureFixture[str]
) -> None:
    data, out, _ = crossed
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", f"tracking.uri={store}")
    command = [sys.executable, "-c", KILLED, *TINY, *FOLDS, *arguments]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    first, second = tmp_path / "fold0", tmp_path / "fold1"
    assert not (second / "summary.json").exists()
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    run_id = torch.load(second / "last.pt", weights_only=True)["card"]["run_id"]
    assert run_of(store, run_id).info.status == "RUNNING"
    run_here(*arguments)
    assert f"this fold is already finished: {first}" in shown.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    assert all(same_weights(tmp_path / f"fold{k}" / "best.pt", out / f"fold{k}" / "best.pt") for k in (0, 1))
    summary = read_summary(tmp_path)
    assert summary["test"] == read_summary(out)["test"]
    assert (tmp_path / "per_case.csv").read_bytes() == (out / "per_case.csv").read_bytes()
    assert summary["folds"][1]["run_id"] == run_id
    parent = run_of(store, summary["run_id"])
    assert (parent.info.status, parent.data.tags["medseg.resumed"]) == ("FINISHED", "1")
    for part in summary["folds"]:
        run = run_of(store, part["run_id"])
        assert (run.info.status, run.data.tags["mlflow.parentRunId"]) == ("FINISHED", parent.info.run_id)
        assert len(run.outputs.model_outputs) == 1


def test_the_folds_predict_as_an_ensemble(crossed: Crossed, tmp_path: Path, store: str) -> None:
    data, out, _ = crossed
    (tmp_path / "in").mkdir()
    for case in ("case00", "case01"):
        shutil.copy(data.parent / "images" / f"{case}.png", tmp_path / "in")
    given = (f"input.dir={tmp_path / 'in'}", f"tracking.uri={store}", "output.formats=[png]", "predict.workers=1")
    done = predict(f"model={out}", f"output.dir={tmp_path / 'out'}", *given)
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in rows(tmp_path / "out")] == ["done"] * 2
    assert {row["model"] for row in rows(tmp_path / "out")} == {json.loads((out / "metrics.json").read_text())["model"]}


@pytest.fixture
def begun(crossed: Crossed, tmp_path: Path, store: str) -> tuple[Path, Path, tuple[str, ...]]:
    """A finished cross-validation that a test may change: the data, the output folder and the arguments."""
    data, out = tmp_path / "data" / crossed[0].name, tmp_path / "out"
    shutil.copytree(crossed[0].parent, data.parent)
    shutil.copytree(crossed[1], out)
    state = out / "cross_validation.json"
    state.write_text(state.read_text().replace(str(crossed[0]), str(data)))
    return data, out, (f"data.root={data}", f"output.dir={out}", f"tracking.uri={store}")


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained: the command is interrupted where the first fold would be."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("medseg.evaluation.folds.train_folds", stop)


def test_other_data_are_refused(begun: tuple[Path, Path, tuple[str, ...]]) -> None:
    data, _, arguments = begun
    picture = np.asarray(Image.open(data.parent / "images" / "case00.png"))
    Image.fromarray(picture[::-1].copy()).save(data.parent / "images" / "case00.png")
    with pytest.raises(CheckpointError, match=r"fold\d: the data or the split changed: .* with train.resume=false"):
        run_here(*arguments)


def test_other_settings_stop_before_anything_is_moved(begun: tuple[Path, Path, tuple[str, ...]]) -> None:
    _, out, arguments = begun
    with pytest.raises(
        ConfigError, match=r"other values of optim\.name, train\.precision\. Start a new one with train\.resume=false"
    ):
        run_here(*arguments, "optim.name=sgd", "train.precision=fp32")
    (out / "cross_validation.json").write_text("{")
    with pytest.raises(ConfigError, match=r"damaged.*\. Start a new one with train\.resume=false"):
        run_here(*arguments)
    assert (out / "fold1" / "best.pt").exists()
    assert not (out / "earlier").exists()


def test_folds_of_an_earlier_rule_are_not_gone_on_with(begun: tuple[Path, Path, tuple[str, ...]]) -> None:
    _, out, arguments = begun
    state = json.loads((out / "cross_validation.json").read_text())
    del state["split"]
    (out / "cross_validation.json").write_text(json.dumps(state))
    with pytest.raises(
        ConfigError, match=r"blocks of the patients in hash order.*\. Start a new one with train\.resume=false"
    ):
        run_here(*arguments)


@pytest.mark.usefixtures("stopped")
def test_begun_anew_where_asked(begun: tuple[Path, Path, tuple[str, ...]], shown: pytest.CaptureFixture[str]) -> None:
    _, out, arguments = begun
    with pytest.raises(KeyboardInterrupt):
        run_here(*arguments, "optim.name=sgd", "train.resume=false")
    told = shown.readouterr().err
    assert f"moved the results of an earlier cross-validation to {out / 'earlier' / '1'}" in told
    assert (out / "earlier" / "1" / "fold1" / "best.pt").exists()
    assert not (out / "fold1").exists()


@pytest.mark.usefixtures("stopped")
def test_what_changes_no_result_is_gone_on_with(
    begun: tuple[Path, Path, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out, arguments = begun
    monkeypatch.chdir(data.parent)
    same = ("predict.batch_size=1", "train.device=cpu", "train.num_strips=1", "split.allow_duplicates=true")
    with pytest.raises(KeyboardInterrupt):
        run_here(*arguments, f"data.root={data.name}", *same)
    assert (out / "fold1" / "best.pt").exists()


@pytest.mark.usefixtures("stopped")
def test_one_that_was_begun_with_a_section_of_before_is_gone_on_with(begun: tuple[Path, Path, tuple[str, ...]]) -> None:
    _, out, arguments = begun
    state = out / "cross_validation.json"
    before = state.read_text()
    for name in ("tta", "fill_holes"):
        before = before.replace(f'"predict.{name}"', f'"inference.{name}"')
    assert before.count('"inference.') == 2
    state.write_text(before)
    with pytest.raises(KeyboardInterrupt):
        run_here(*arguments)
    assert (out / "fold1" / "best.pt").exists()


def test_a_copy_of_what_a_fold_was_trained_on_is_told_as_seen(begun: tuple[Path, Path, tuple[str, ...]]) -> None:
    data, out, arguments = begun
    tested = {fold: [row["case"] for row in read_table(out) if row["by_fold"] == fold] for fold in "01"}
    seen, copy = tested["1"][0], tested["0"][0]
    shutil.copy(data.parent / "images" / f"{seen}.png", data.parent / "images" / f"{copy}.png")
    config = parse_args(CrossValidateConfig, [*TINY, *FOLDS, *arguments, "split.allow_duplicates=true"])
    found = find_cases(config.data)
    measured = measure_folds(build_folds(found, config), found, config.data, find_hardware("cpu"))
    assert [case.result.case for case in measured if case.result.seen] == [copy]
    pooled = sum_up(measured, found.classes, EvaluationConfig(shown=0), model="m", data="d", subset="unseen")
    assert "scored although the model was trained or validated on these (1 case)" in pooled.warnings


def test_copies_in_different_folds_are_found_before_anything_is_trained(tmp_path: Path) -> None:
    data = write_png_folder(tmp_path / "data", 24)
    for folder in ("images", "masks/box", "masks/disc"):
        for index in range(4):
            shutil.copy(data / folder / f"case{index:02d}.png", data / folder / f"copy{index:02d}.png")
    with pytest.raises(DataError, match=r"case00 \((train|test)\) and copy00 \((train|test)\)"):
        run_here(f"data.root={data}", f"output.dir={tmp_path / 'out'}")
    assert not (tmp_path / "out" / "fold0").exists()


def test_too_few_patients_for_the_folds(tmp_path: Path) -> None:
    data = write_png_folder(tmp_path / "data", 3)
    with pytest.raises(DataError, match=r"split\.folds=4 needs at least 4 patients; this data set has 3"):
        run_here(f"data.root={data}", f"output.dir={tmp_path / 'out'}", "split.folds=4")


def test_what_means_nothing_here_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"split\.fold\b"):
        parse_args(CrossValidateConfig, ["split.fold=1"])
    with pytest.raises(ConfigError, match="cannot register a model"):
        parse_args(CrossValidateConfig, ["tracking.register=chest"])


def test_the_recipe_of_a_training_is_one_of_a_cross_validation(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text(write_recipe(Recipe()))
    config = parse_args(CrossValidateConfig, [str(tmp_path / "best.yaml")])
    assert (config.split.folds, config.train.batch_size, config.train.resume) == (5, 4, True)


def test_help_says_that_budgets_are_those_of_a_fold(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_args(CrossValidateConfig, ["--help"])
    told = capsys.readouterr().out
    assert "Training budget of each fold in minutes" in told
    assert "split.folds (int" in told
