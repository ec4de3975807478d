import json
import math
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from medseg.data.findings import Finding
from medseg.evaluation.files import build_rows
from medseg.evaluation.per_case import name_scores
from medseg.evaluation.result import CaseResult, Comparison, Evaluation, StressCurve, Summary
from medseg.evaluation.review import record_evaluation
from medseg.metrics.calibration import measure_calibration
from medseg.metrics.statistics import Agreement, Interval, Paired
from medseg.tracking import TrackingConfig, start_run
from medseg.tracking.config import EvaluateTrackingConfig

CLASSES = ("lungs", "lungs_low")


def build_case(index: int, shown: bool = True) -> CaseResult:
    masks = np.zeros((2, 40, 32), bool)
    masks[0, 5:20, 4:12] = masks[1, 10:30, 15:28] = True
    scores = dict.fromkeys(name_scores(CLASSES), math.nan)
    scores |= {"dice_lungs": 0.5 + index / 20, "dice_lungs_low": math.nan if index == 3 else 0.7}
    picture = np.full((40, 32), 90, np.uint8) if shown else None
    pictures = {"picture": picture, "reference": masks, "prediction": np.roll(masks, 2, axis=1)} if shown else {}
    return CaseResult(f"case{index}", f"p{index:03d}", "mm", scores, {"site": "A"}, f"{index:016x}", **pictures)


def build_evaluation() -> Evaluation:
    probability = np.linspace(0, 1, 40 * 32, dtype=np.float32).reshape(40, 32)
    return Evaluation(
        model="0123456789abcdef",
        data="montgomery",
        subset="unseen",
        left_out=3,
        classes=CLASSES,
        cases=[build_case(index, shown=index != 1) for index in range(9)],
        summaries=[
            Summary("dice_lungs", 0.9, Interval(0.8, 0.95), 9, 0),
            Summary("dice_lungs_low", 0.7, Interval(math.nan, math.nan), 8, 1),
            Summary("dice", 0.8, Interval(0.75, 0.85), 9, 0),
        ],
        calibration={"lungs": measure_calibration(probability, probability > 0.5)},
        ctr=Agreement(0.01, -0.02, 0.04),
        comparison=Comparison("f" * 16, {"dice_lungs": Paired(-0.1, -0.2, 0.0, 0.02)}, {"dice_lungs": 0.04}, []),
        findings=[Finding("full_mask", "warning", ("case1",), "Draw them.", "masks", {})],
        stress=[
            StressCurve("gamma", "octaves", (0, -2, 2), {"lungs": (0.9, 0.8, 0.6), "lungs_low": (0.7, math.nan, 0.5)})
        ],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("report.html", "metrics.json", "per_case.csv", "other.txt"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.slow
def test_everything_is_recorded_below_the_run_that_trained_the_model(tracking: TrackingConfig, folder: Path) -> None:
    with start_run(tracking, parameters={}) as trained:
        pass
    evaluation = build_evaluation()
    run_id = record_evaluation(evaluation, folder, EvaluateTrackingConfig(uri=tracking.uri), trained.id)
    client = MlflowClient(tracking.uri)
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == (f"{trained.name} on montgomery", "FINISHED")
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == tags["medseg.trained_in"] == trained.id
    assert (tags["medseg.model"], tags["medseg.subset"]) == ("0123456789abcdef", "unseen")
    assert tags["medseg.use"] == "Research use only. Not for clinical use."
    metrics = run.data.metrics
    assert {name: metrics[f"{name}/dice"] for name in ("evaluation", "evaluation_low", "evaluation_high")} == {
        "evaluation": 0.8,
        "evaluation_low": 0.75,
        "evaluation_high": 0.85,
    }
    assert (metrics["evaluation/dice_lungs_low"], metrics["evaluation_low/dice_lungs"]) == (0.7, 0.8)
    assert "evaluation_low/dice_lungs_low" not in metrics  # not known
    assert (metrics["other_minus_this/dice_lungs"], metrics["other_minus_this_p/dice_lungs"]) == (-0.1, 0.04)
    assert (metrics["other_minus_this_low/dice_lungs"], metrics["other_minus_this_high/dice_lungs"]) == (-0.2, 0.0)
    assert metrics["evaluation/ctr_limit_high"] == 0.04
    assert metrics["evaluation/calibration_error_lungs"] == pytest.approx(evaluation.calibration["lungs"].error)
    assert (metrics["evaluation/cases"], metrics["evaluation/left_out"]) == (9, 3)
    curve = client.get_metric_history(run_id, "stress/gamma/dice_lungs")
    assert [(point.step, point.value) for point in curve] == [(0, 0.8), (1, 0.9), (2, 0.6)]
    assert [point.step for point in client.get_metric_history(run_id, "stress/gamma/dice_lungs_low")] == [1, 2]
    stress = Path(run.info.artifact_uri.removeprefix("file://")) / "stress.json"
    assert json.loads(stress.read_text()) == {"gamma": {"unit": "octaves", "levels": [-2, 0, 2]}}
    (finding,) = json.loads((stress.parent / "check.json").read_text())["findings"]
    assert finding == {"code": "full_mask", "severity": "warning", "cases": ["case1"], "remedy": "Draw them."}
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest, json.loads(dataset.profile)) == (
        "montgomery",
        evaluation.digest,
        {"num_rows": 9},
    )
    files = {file.path for file in client.list_artifacts(run_id)}
    assert {"report.html", "metrics.json", "per_case.csv", "per_case.json", "stress.json", "cases"} <= files
    assert "other.txt" not in files


@pytest.mark.slow
def test_the_table_and_the_worst_cases_are_shown(tracking: TrackingConfig, folder: Path) -> None:
    evaluation = build_evaluation()
    run_id = record_evaluation(evaluation, folder, EvaluateTrackingConfig(uri=tracking.uri), None)
    client = MlflowClient(tracking.uri)
    root = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    content = json.loads((root / "per_case.json").read_text())
    assert content["columns"] == list(build_rows(evaluation)[0])
    row = dict(zip(content["columns"], content["data"][3], strict=True))
    assert (row["case"], row["patient"], row["dice_lungs"], row["dice_lungs_low"]) == ("case3", "p003", 0.65, None)
    assert (row["unit"], row["by_site"], row["subset"], row["seen"]) == ("mm", "A", "unseen", "")
    assert json.loads(client.get_run(run_id).data.tags["mlflow.loggedArtifacts"])[0]["path"] == "per_case.json"
    worst = json.loads((root / "cases" / "worst.json").read_text())
    named = {"1": "case0", "3": "case2", "4": "case3", "5": "case4", "6": "case5"}  # of case1 no picture was kept
    assert {rank: entry["case"] for rank, entry in worst.items()} == named
    with Image.open(root / "cases" / "worst_1.png") as picture:
        assert picture.width == 3 * 32
        assert picture.height > 40
    assert len([file for file in client.list_artifacts(run_id, "images") if file.path.endswith(".png")]) == len(named)


@pytest.mark.slow
def test_a_run_of_its_own_where_the_model_is_of_no_known_run(tracking: TrackingConfig, folder: Path) -> None:
    where = EvaluateTrackingConfig(uri=tracking.uri)
    run = MlflowClient(tracking.uri).get_run(record_evaluation(build_evaluation(), folder, where, "f" * 32))
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.tags["medseg.trained_in"] == "f" * 32
    assert run.info.run_name.startswith("montgomery-20")
    ensemble = MlflowClient(tracking.uri).get_run(record_evaluation(build_evaluation(), folder, where, None))
    assert ensemble.info.run_name == "01234567 on montgomery"
    named = where.model_copy(update={"run_name": "mine"})
    other = MlflowClient(tracking.uri).get_run(record_evaluation(build_evaluation(), folder, named, None))
    assert other.info.run_name == "mine"
    assert other.data.metrics.keys() == run.data.metrics.keys()
