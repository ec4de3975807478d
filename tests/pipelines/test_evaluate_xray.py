"""The evaluation command: what it writes, what it says, how it ends."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from medseg.commands.evaluate_xray import EvaluateXrayConfig
from medseg.config import leaf_fields, parse_args
from medseg.data.cases import find_cases
from medseg.errors import ConfigError
from medseg.evaluation.candidate import Candidate, read_as
from medseg.evaluation.evaluate import Earlier
from medseg.evaluation.rival import find_rival
from medseg.inference.models import load_models
from medseg.model.checkpoint import Extent
from medseg.model.config import InferenceConfig
from medseg.tracking import TrackingConfig, start_run
from pipelines.evaluate_xray import main
from tests.support.model_files import write_model
from tests.support.processes import run_forked, run_fresh
from tests.support.shape_images import write_png_folder

pytestmark = pytest.mark.slow

Trained = tuple[Path, Path, subprocess.CompletedProcess[str]]


def evaluate(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_forked("pipelines.evaluate_xray", "predict.backend=torch", *arguments)


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "per_case.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_metrics(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return metrics


@pytest.fixture(scope="module")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The unseen cases of the training's own data, which are its test cases: the folder and what was printed."""
    data, output, _ = trained
    folder = tmp_path_factory.mktemp("evaluated")
    arguments = (f"model={output / 'best.pt'}", f"data.root={data}", f"output.dir={folder}", "tracking.record=false")
    done = run_fresh("pipelines.evaluate_xray", "predict.backend=torch", *arguments)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_unseen_cases_score_as_the_test_cases_of_the_training(
    evaluated: tuple[Path, str], trained: Trained
) -> None:
    metrics = json.loads((evaluated[0] / "metrics.json").read_text())
    summary = json.loads((trained[1] / "summary.json").read_text())
    assert metrics["cases"] == summary["cases"]["test"]
    assert metrics["left_out"] == summary["cases"]["train"] + summary["cases"]["validation"]
    assert {name: metrics[name] for name in summary["test"]} == pytest.approx(summary["test"], abs=1e-6)


def test_the_card_of_the_training_is_completed_and_stays_as_it_is(
    evaluated: tuple[Path, str], trained: Trained
) -> None:
    folder, out = evaluated[0], trained[1]
    text, card, metrics = (folder / "card.md").read_text(), (out / "card.md").read_text(), read_metrics(folder)
    before, after = text.index("### On `data`"), text.index("<!-- evaluations -->")
    assert text[:before] + text[after:] == card
    assert f"Means over {metrics['cases']} cases of {metrics['patients']} patients" in text
    low, high = metrics["dice_disc_ci95"]
    assert f"| Dice disc | {metrics['dice_disc']:.4f} [{low:.4f}, {high:.4f}] | 0 |" in text
    assert not any(row["case"] in text for row in read_table(folder))


def test_every_metric_has_an_interval_around_it(evaluated: tuple[Path, str]) -> None:
    metrics = json.loads((evaluated[0] / "metrics.json").read_text())
    kinds = ("dice", "iou", "hd95", "assd", "nsd", "area_error")
    for name in ("dice", "iou", "miou", *(f"{kind}_{label}" for kind in kinds for label in ("box", "disc"))):
        low, high = metrics[f"{name}_ci95"]
        if metrics["cases"] - metrics["missing"].get(name, 0) > 1:
            assert low <= metrics[name] <= high
        else:
            assert (low, high) == (None, None)
    assert (metrics["subset"], metrics["unit"], metrics["spacing"]) == ("unseen", "px", {"none": metrics["cases"]})


def test_the_table_agrees_with_the_metrics_and_names_no_patient(evaluated: tuple[Path, str]) -> None:
    rows, metrics = read_table(evaluated[0]), json.loads((evaluated[0] / "metrics.json").read_text())
    assert len(rows) == metrics["cases"]
    assert sum(float(row["dice_disc"]) for row in rows) / len(rows) == pytest.approx(metrics["dice_disc"], abs=1e-6)
    assert all(row["patient"][0] == "p" and row["patient"][1:].isdigit() for row in rows)
    assert [row["case"] for row in rows] == sorted(row["case"] for row in rows)


def test_what_is_printed_ends_with_the_report(evaluated: tuple[Path, str]) -> None:
    folder, printed = evaluated
    assert f"report: {folder / 'report.html'}" in printed
    assert "cases that the model was not trained or validated on" in printed
    assert "Not for clinical use" in (folder / "report.html").read_text()


def test_comparison_with_another_evaluation_and_a_run_in_mlflow(
    evaluated: tuple[Path, str], trained: Trained, store: str, tmp_path: Path
) -> None:
    data, output, _ = trained
    done = evaluate(
        *(f"model={output / 'best.pt'}", f"data.root={data}", f"output.dir={tmp_path}", f"tracking.uri={store}"),
        *("predict.threshold=0.9", f"compare={evaluated[0]}", "data.subset=all"),
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["cases"], metrics["subset"], metrics["left_out"]) == (24, "all", 0)
    ours = {row["case"]: float(row["dice_box"]) for row in read_table(tmp_path)}
    theirs = {row["case"]: float(row["dice_box"]) for row in read_table(evaluated[0])}
    expected = sum(value - ours[case] for case, value in theirs.items()) / len(theirs)
    assert metrics["comparison"]["differences"]["dice_box"]["difference"] == pytest.approx(expected, abs=1e-6)
    assert metrics["comparison"]["cases"] == len(theirs)
    assert "trained or validated on (data.subset=all)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "data.root: required, not given"),
        (["model=nowhere.pt", "data.root={data}"], "nowhere.pt: no such file or folder"),
        (["model={other}", "data.root={data}"], "no class in common"),
        (["model={model}", "data.root={data}", "by=sight"], "by: no column sight"),
        (["model={model}", "data.root={data}", "compare=nowhere"], "nowhere: no such file or folder"),
        (
            ["model={sized}", "data.root={data}", "compare={model}", "predict.zoom=true"],
            "error: compare: {model}: predict",
        ),
    ],
)
def test_bad_requests_end_with_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    paths = {
        "data": write_png_folder(tmp_path / "data", 2),
        "model": write_model(tmp_path / "model.pt", ("box", "disc")),
        "other": write_model(tmp_path / "other.pt", ("arm",)),
        "sized": write_model(tmp_path / "sized.pt", ("box", "disc"), extent=Extent(smallest=0.5, usual=0.6)),
    }
    given = [text.format(**paths) for text in arguments]
    done = evaluate(*given, f"output.dir={tmp_path / 'out'}", "tracking.record=false")
    assert done.returncode == 2, done.stderr
    assert said.format(**paths) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_cannot_be_written_ends_it_before_anything_is_measured(tmp_path: Path) -> None:
    data, model = write_png_folder(tmp_path / "data", 2), write_model(tmp_path / "model.pt", ("box", "disc"))
    (tmp_path / "file").write_text("")
    store = f"tracking.uri=sqlite:///{tmp_path}/file/mlflow.db"
    done = evaluate(f"model={model}", f"data.root={data}", f"output.dir={tmp_path / 'out'}", store)
    assert done.returncode == 1, done.stderr
    assert "the MLflow store cannot be created" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "kind"), [("best.pt", Candidate), ("fold0/best.pt", Candidate), ("a.csv", Earlier)])
def test_a_folder_with_a_model_is_that_model_not_its_table(name: str, kind: type, tmp_path: Path) -> None:
    root, folder = write_png_folder(tmp_path / "data", 2), tmp_path / "other"
    (folder / name).parent.mkdir(parents=True)
    model = write_model(tmp_path / "model.pt", ("box", "disc"))
    shutil.copy(model, folder / name)
    (folder / "per_case.csv").write_text("case,patient,unit,dice_box\ncase00,p001,px,0.5\n")
    config = parse_args(EvaluateXrayConfig, [f"model={model}", f"data.root={root}", f"compare={folder}"])
    loaded = load_models(config.model, config.tracking, config.predict)
    found = find_cases(read_as(loaded.card, config.data))
    rival = find_rival(config.compare, loaded, found, config.data, config.predict, config.tracking)
    assert isinstance(rival, kind)


def test_settings_of_the_command_hold_for_a_rival_as_far_as_it_has_the_classes(tmp_path: Path) -> None:
    root, model = write_png_folder(tmp_path / "data", 2), write_model(tmp_path / "model.pt", ("box", "disc"))
    inferences = enumerate((InferenceConfig(), InferenceConfig(fill_holes=True)))
    others = [write_model(tmp_path / f"{n}.pt", ("box",), seed=n, inference=each) for n, each in inferences]
    given = ["predict.fill_holes=true", "predict.components={box: 1, disc: 2}"]
    names = ",".join(map(str, others))
    config = parse_args(EvaluateXrayConfig, [f"model={model}", f"data.root={root}", f"compare=[{names}]", *given])
    loaded = load_models(config.model, config.tracking, config.predict)
    found = find_cases(read_as(loaded.card, config.data))
    rival = find_rival(config.compare, loaded, found, config.data, config.predict, config.tracking)
    assert isinstance(rival, Candidate)
    assert rival.card.inference == InferenceConfig(fill_holes=True, components={"box": 1})


def test_columns_and_models_are_taken_as_text_or_list(tmp_path: Path) -> None:
    for by in ("by=site,view", "by=[site,view]"):
        config = parse_args(EvaluateXrayConfig, ["model=a.pt", f"data.root={tmp_path}", by])
        assert (config.by, config.model) == (("site", "view"), ("a.pt",))
    with pytest.raises(ConfigError, match="model: an empty list"):
        parse_args(EvaluateXrayConfig, ["model=[]", f"data.root={tmp_path}"])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["predict.threshold=0.4"], "predict.threshold"),
        (["predict.tta=[mirror]", "data.subset=all"], "predict.tta, data.subset=all"),
        (["predict.components={lungs: 2}", "predict.fill_holes=true"], "predict.components, predict.fill_holes"),
    ],
)
def test_a_champion_is_chosen_with_the_settings_of_its_file(given: list[str], named: str, tmp_path: Path) -> None:
    usual = ["model=a.pt", f"data.root={tmp_path}", "tracking.register=x"]
    parse_args(EvaluateXrayConfig, [*usual, *given])
    parse_args(EvaluateXrayConfig, [*usual, "tracking.promote=true", "predict.threshold=0.5", "predict.precision=fp32"])
    with pytest.raises(ConfigError, match=f"tracking.promote=true: remove {named}."):
        parse_args(EvaluateXrayConfig, [*usual, *given, "tracking.promote=true"])


def test_every_key_of_tracking_has_an_effect() -> None:
    keys = {key.removeprefix("tracking.") for key, *_ in leaf_fields(EvaluateXrayConfig) if key.startswith("tracking.")}
    assert keys == {"uri", "experiment", "run_name", "description", "register", "record", "promote"}


def test_an_earlier_evaluation_in_mlflow_is_read_and_that_of_an_ensemble_is_below_its_cross_validation(
    tracking: TrackingConfig, tmp_path: Path
) -> None:
    data, folder, where = write_png_folder(tmp_path / "data", 4), tmp_path / "folds", f"tracking.uri={tracking.uri}"
    for fold in range(2):
        write_model(folder / f"fold{fold}" / "best.pt", ("box", "disc"), seed=fold)
    with start_run(tracking, parameters={}) as parent:
        (folder / "summary.json").write_text(json.dumps({"run_id": parent.id}))
    arguments = [f"model={folder}", f"data.root={data}", f"output.dir={tmp_path / 'out'}", where]
    main(arguments)
    client = MlflowClient(tracking.uri)
    (run,) = client.search_runs(["1"], "tags.`medseg.kind` = 'evaluation'")
    assert run.data.tags["mlflow.parentRunId"] == parent.id
    for address in (run.info.run_id, f"runs:/{run.info.run_id}/per_case.csv"):
        main([*arguments, f"compare={address}", "tracking.record=false"])
        comparison = json.loads((tmp_path / "out" / "metrics.json").read_text())["comparison"]
        assert (comparison["other"], comparison["cases"]) == (run.info.run_id, 4)
        assert comparison["differences"]["dice"]["difference"] == 0
    with pytest.raises(ConfigError, match="no such file"):
        main([*arguments, f"compare={parent.id}"])
