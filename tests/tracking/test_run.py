import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from medseg.errors import ConfigError, OutputBusyError, StorageError
from medseg.tracking import TrackingConfig, start_run

ROOT = Path(__file__).parents[2]


class StopSignal(BaseException):
    pass


def read(tracking: TrackingConfig, run_id: str) -> MlflowRun:
    return MlflowClient(tracking.uri).get_run(run_id)


def list_files(tracking: TrackingConfig, run_id: str, folder: str | None = None) -> list[str]:
    return [file.path for file in MlflowClient(tracking.uri).list_artifacts(run_id, folder)]


def read_file(run: MlflowRun, name: str) -> str:
    return (Path(run.info.artifact_uri.removeprefix("file://")) / name).read_text()


def begin_elsewhere(tracking: TrackingConfig) -> "subprocess.Popen[str]":
    """A process of its own that starts a run and stays in it until its input ends."""
    script = f"""
        import sys
        from medseg.tracking import TrackingConfig, start_run
        with start_run(TrackingConfig(uri={tracking.uri!r}, system_metrics=False), parameters={{"epochs": 4}}) as run:
            run.log_metrics({{"val/dice": 0.5}}, step=1)
            print(run.id, flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


def read_id(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_run_records_what_it_is_given(tracking: TrackingConfig, tmp_path: Path) -> None:
    parameters = {"seed": 0, "data.classes": ["lungs", "heart"], "train.epochs": None, "long": "x" * 9000}
    figure = Figure()
    (tmp_path / "notes.txt").write_text("kept")
    with start_run(tracking, parameters=parameters, tags={"medseg.data": "chest_xray"}) as run:
        run.log_metrics({"train/loss": 0.5, "val/dice": np.float32(0.25)}, step=1)
        run.log_input("jsrt", "training", "0123456789abcdef" * 2, "/data/jsrt", 84)
        run.log_figure(figure, "learning_curves.png")
        run.log_text("seed: 0\n", "config.yaml")
        run.log_dict({"a": {"b": 1}}, "summary.json")
        run.log_file(tmp_path / "notes.txt", "more")
    found = read(tracking, run.id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"train/loss": 0.5, "val/dice": 0.25}
    assert found.data.params["data.classes"] == '["lungs", "heart"]'
    assert found.data.params["train.epochs"] == "null"
    assert len(found.data.params["long"]) == 6000
    dataset = found.inputs.dataset_inputs[0]
    assert (dataset.tags[0].value, dataset.dataset.name) == ("training", "jsrt")
    assert json.loads(dataset.dataset.profile) == {"num_rows": 84}
    files = ["config.yaml", "environment.yaml", "learning_curves.png", "more", "summary.json"]
    assert list_files(tracking, run.id) == files
    assert list_files(tracking, run.id, "more") == ["more/notes.txt"]


def test_run_says_where_it_comes_from(tracking: TrackingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pipelines.train_xray", "seed=1"])
    with start_run(tracking, parameters={}, tags={"medseg.data": "chest_xray"}) as run:
        pass
    found = read(tracking, run.id)
    environment = yaml.safe_load(read_file(found, "environment.yaml"))
    assert run.name.startswith("chest_xray-20")
    assert found.data.tags["medseg.use"] == "Research use only. Not for clinical use."
    assert found.data.tags["mlflow.note.content"].endswith("Research use only. Not for clinical use.")
    assert "-m pipelines.train_xray seed=1`" in found.data.tags["mlflow.note.content"]
    assert environment["packages"]["mlflow"].startswith("3.")
    assert environment["num_cores"] >= 1
    assert run.ui_command.endswith(f"mlflow ui --backend-store-uri {tracking.uri}")


@pytest.mark.slow
def test_names_are_unique_or_as_configured(tracking: TrackingConfig) -> None:
    names = []
    for config in (tracking, tracking, tracking.model_copy(update={"run_name": "mine", "description": "Why."})):
        with start_run(config, parameters={}) as run:
            names.append(run.name)
    assert len(set(names)) == 3
    assert names[2] == "mine"
    assert read(tracking, run.id).data.tags["mlflow.note.content"].startswith("Why.\n")


def test_numbers_that_are_not_finite_are_left_out(tracking: TrackingConfig) -> None:
    with start_run(tracking, parameters={}) as run:
        run.log_metrics({"a": float("nan"), "b": float("inf"), "c": 1.0}, step=1)
        run.log_metrics({"a": float("nan")}, step=2)
    assert read(tracking, run.id).data.metrics == {"c": 1.0}


def test_pictures_make_a_series_from_step_0_and_the_newest_stands_alone(tracking: TrackingConfig) -> None:
    with start_run(tracking, parameters={}) as run:
        for step in (1, 2):
            run.log_image(np.full((8, 24, 3), 100 * step, np.uint8), "val/strips", step)
    names = [Path(path).name for path in list_files(tracking, run.id, "images") if path.endswith(".png")]
    assert [name.split("+timestamp")[0] for name in names] == [f"val~strips+step+{step}" for step in (0, 1, 2)]
    assert list_files(tracking, run.id, "val") == ["val/strips.png"]


def test_a_table_is_recorded_once_and_shown(tracking: TrackingConfig) -> None:
    with start_run(tracking, parameters={}) as run:
        for _ in range(2):
            run.log_table({"case": ["a", "b"], "dice": [0.5, float("nan")]}, "per_case.json")
    found = read(tracking, run.id)
    expected = {"columns": ["case", "dice"], "data": [["a", 0.5], ["b", None]]}
    assert json.loads(read_file(found, "per_case.json")) == expected
    assert json.loads(found.data.tags["mlflow.loggedArtifacts"]) == [{"path": "per_case.json", "type": "table"}]


def test_credentials_are_masked_wherever_text_is_recorded(tracking: TrackingConfig) -> None:
    secret = "http://joe:hunter2@server/x"
    config = tracking.model_copy(update={"description": f"see {secret}"})
    with start_run(config, parameters={"tracking.uri": secret}, tags={"from": secret}) as run:
        run.log_text(f"uri: {secret}", "config.yaml")
        run.log_dict({"deep": [{"uri": secret}]}, "deep.json")
        run.log_input("x", "test", "0", secret, 1)
    found = read(tracking, run.id)
    assert found.data.params["tracking.uri"] == "http://***@server/x"
    files = [read_file(found, "config.yaml"), read_file(found, "deep.json")]
    assert "hunter2" not in str(found.to_dictionary()) + str(files)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(3), "KILLED"), (StopSignal(), "KILLED")],
)
def test_how_the_block_ends_is_the_status(tracking: TrackingConfig, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), start_run(tracking, parameters={}) as run:
        raise error
    assert read(tracking, run.id).info.status == status


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_others_mark_and_resume_continues(tracking: TrackingConfig) -> None:
    process = begin_elsewhere(tracking)
    run_id = read_id(process)
    try:
        with start_run(tracking, parameters={}):
            assert read(tracking, run_id).info.status == "RUNNING"  # alive: not touched
        with (
            pytest.raises(OutputBusyError, match=str(process.pid)),
            start_run(tracking, parameters={}, resume_run_id=run_id),
        ):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on, which counts as gone
    with start_run(tracking, parameters={}):
        dead = read(tracking, run_id)
        assert dead.info.status == "KILLED"
        history = MlflowClient(tracking.uri).get_metric_history(run_id, "val/dice")
        assert dead.info.end_time == history[-1].timestamp
    process.communicate()
    with start_run(tracking, parameters={"epochs": 8, "new": 1}, resume_run_id=run_id) as run:
        assert (run.id, read(tracking, run_id).info.status) == (run_id, "RUNNING")
        assert read(tracking, run_id).data.tags["medseg.pid"] == str(os.getpid())
        run.log_metrics({"val/dice": 0.75}, step=2)
    found = read(tracking, run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"epochs": "4", "new": "1"}
    assert yaml.safe_load(read_file(found, "resumed_config_1.yaml")) == {"epochs": {"was": "4", "is": "8"}}
    assert [metric.value for metric in MlflowClient(tracking.uri).get_metric_history(run_id, "val/dice")] == [0.5, 0.75]


@pytest.mark.slow
def test_resuming_a_run_that_the_store_does_not_know_starts_a_new_one(
    tracking: TrackingConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with start_run(tracking, parameters={}, resume_run_id="0" * 32) as run:
        assert run.id != "0" * 32
    assert "0" * 32 in caplog.text
    assert read(tracking, run.id).data.tags["medseg.resumed_from"] == "0" * 32


def test_what_mlflow_refuses_is_a_warning(tracking: TrackingConfig, caplog: pytest.LogCaptureFixture) -> None:
    with start_run(tracking, parameters={}) as run:
        run.log_metrics({"what?": 1.0}, step=1)
        artifacts = Path(read(tracking, run.id).info.artifact_uri.removeprefix("file://"))
        artifacts.rename(artifacts.with_name("elsewhere"))
        artifacts.write_text("a file where a folder should be")
        run.log_text("x", "x.txt")
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "MLflow did not record metrics",
        "MLflow did not record x.txt",
    ]
    assert read(tracking, run.id).info.status == "FINISHED"


@pytest.mark.slow
def test_the_store_is_where_the_environment_or_the_working_folder_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tracking: TrackingConfig
) -> None:
    default = TrackingConfig()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tracking.uri))
    with start_run(default, parameters={}) as run:
        pass
    assert read(tracking, run.id).info.status == "FINISHED"
    assert os.environ["MLFLOW_TRACKING_URI"] == tracking.uri
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    folder = tmp_path / "new ü%20 what?x#y&key=1"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with start_run(default, parameters={}) as run:
        run.log_text("x", "x.txt")
        run.log_metrics({"a": 1.0}, 1)
    assert "MLFLOW_TRACKING_URI" not in os.environ
    shown = sorted(path.name for path in Path("mlruns").iterdir() if not path.name.endswith(".lock"))
    assert shown == ["artifacts", "mlflow.db"]
    assert Path("mlruns/artifacts/medseg", run.id, "artifacts/x.txt").read_text() == "x"
    assert [path.name for path in Path().iterdir()] == ["mlruns"]
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "mlruns"}
    assert capfd.readouterr() == ("", "")


def test_system_metrics_are_recorded(tracking: TrackingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    with start_run(tracking.model_copy(update={"system_metrics": True}), parameters={}) as run:
        for _ in range(1000):
            if "system/cpu_utilization_percentage" in read(tracking, run.id).data.metrics:
                break
            signal.sigtimedwait([], 0.1)
    assert "system/system_memory_usage_megabytes" in read(tracking, run.id).data.metrics


def make(tracking: TrackingConfig, **changes: Any) -> TrackingConfig:
    return tracking.model_copy(update=changes)


@pytest.mark.slow
def test_a_deleted_experiment_is_named(tracking: TrackingConfig) -> None:
    with start_run(tracking, parameters={}) as run:
        pass
    client = MlflowClient(tracking.uri)
    client.delete_experiment(client.get_run(run.id).info.experiment_id)
    with pytest.raises(ConfigError, match=r"'medseg' is in MLflow's trash"), start_run(tracking, parameters={}):
        pass
    with start_run(make(tracking, experiment="other"), parameters={}):
        pass


def test_a_moved_store_is_named(tracking: TrackingConfig, tmp_path: Path) -> None:
    with start_run(tracking, parameters={}):
        pass
    (tmp_path / "mlruns").rename(tmp_path / "moved")
    moved = make(tracking, uri=f"sqlite:///{tmp_path}/moved/mlflow.db")
    with (
        pytest.raises(ConfigError, match=r"store was moved or copied to .*moved\. Move the store back") as caught,
        start_run(moved, parameters={}),
    ):
        pass
    assert str(tmp_path / "mlruns") in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("./mlruns", "is not an MLflow store"),
        ("file:///tmp/mlruns", "is not an MLflow store"),
        ("sqlite://", "names no file"),
        ("http://joe:hunter2@127.0.0.1:9", r"http://\*\*\*@127.0.0.1:9: no MLflow server answers"),
    ],
)
def test_an_address_that_cannot_be_used_is_named(uri: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=message) as caught, start_run(TrackingConfig(uri=uri), parameters={}):
        pass
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_processes_that_start_at_once_share_a_new_store_and_clear_up_after_one_that_was_killed(tmp_path: Path) -> None:
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db", system_metrics=False)
    half_made = tmp_path / "mlruns/.mlflow.db.new/mlflow.db"
    half_made.parent.mkdir(parents=True)
    half_made.write_text("cut sh")
    begun = [begin_elsewhere(tracking) for _ in range(2)]
    ids = [read_id(process) for process in begun]
    said = [process.communicate()[1] for process in begun]  # which ends their input
    assert said == ["", ""]
    assert [read(tracking, run_id).info.status for run_id in ids] == ["FINISHED", "FINISHED"]
    assert not half_made.parent.exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be looked at as one " * 9)
    config = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ConfigError, match=r"mlflow\.db: not usable"), start_run(config, parameters={}):
        pass
    (tmp_path / "file").touch()
    config = TrackingConfig(uri=f"sqlite:///{tmp_path}/file/mlruns/mlflow.db")
    with pytest.raises(StorageError, match="cannot be created"), start_run(config, parameters={}):
        pass
