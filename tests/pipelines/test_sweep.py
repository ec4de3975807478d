"""The trials, the retraining, and what a killed sweep, or one that several processes share, goes on with."""

import csv
import json
import re
import signal
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from medseg.commands import train_xray
from medseg.config import build_config
from medseg.data.config import PreprocessConfig
from medseg.errors import ConfigError, DataError, TrainingError
from medseg.model.checkpoint import ModelCard
from medseg.model.config import ModelConfig
from medseg.model.operations import count_gflop
from pipelines import sweep
from tests.support.processes import Forked
from tests.support.shape_images import write_png_folder
from tests.support.training_command import TINY, run_of, stop_after

pytestmark = pytest.mark.slow

QUICK = (*TINY, "optim.ema_decay=0", "optim.learning_rate=0.01", "train.coarse=0", "train.epochs=2")
SPACE = ("sweep.optim.learning_rate=log 1e-3..1e-1", "sweep.model.width=[4, 6]")
SMALL = ("sweep.trials=3", "sweep.seeds=[7]", "sweep.startup_trials=2", "sweep.prune=false")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_png_folder(tmp_path_factory.mktemp("shapes") / "data", 16)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, data: Path, store: str) -> tuple[Path, str]:
    """A sweep without a break: its folder and what it printed."""
    out = tmp_path_factory.mktemp("swept") / "out"
    return out, run_here(data, out, store)


def list_words(data: Path, out: Path, store: str, *others: str) -> list[str]:
    return [*QUICK, *SPACE, *SMALL, f"data.root={data}", f"output.dir={out}", f"tracking.uri={store}", *others]


def run_here(data: Path, out: Path, store: str, *others: str) -> str:
    """What the command prints, in this process, which has imported what is heavy."""
    with redirect_stdout(StringIO()) as told, redirect_stderr(StringIO()):
        sweep.main(list_words(data, out, store, *others))
    return told.getvalue()


def read_summary(folder: Path) -> dict:  # type: ignore[type-arg]
    return json.loads((folder / "summary.json").read_text())


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def without_runs(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key != "run_id"} for row in rows]


def list_nested(store: str, parent: str) -> list[Run]:
    return list(MlflowClient(store).search_runs(["1"], f"tags.`mlflow.parentRunId` = '{parent}'"))


def test_each_trial_is_a_nested_run_with_its_settings_and_objective(swept: tuple[Path, str], store: str) -> None:
    out, _ = swept
    parent = run_of(store, read_summary(out)["run_id"])
    assert (parent.info.status, parent.data.tags["medseg.kind"]) == ("FINISHED", "sweep")
    rows = read_table(out)
    assert [(row["trial"], row["state"]) for row in rows] == [("0", "complete"), ("1", "complete"), ("2", "complete")]
    assert (rows[0]["optim.learning_rate"], rows[0]["model.width"]) == ("0.01", "4")  # those of the recipe
    for row in rows:
        run = run_of(store, row["run_id"])
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.run_name == f"{parent.info.run_name} trial {row['trial']}"
        assert (run.info.status, run.data.tags["medseg.trial_state"]) == ("FINISHED", "complete")
        assert run.data.params["model.width"] == row["model.width"]
        assert float(run.data.params["optim.learning_rate"]) == float(row["optim.learning_rate"])
        assert run.data.metrics["objective/dice"] == float(row["dice"])
        trial = read_summary(out / "trials" / f"{int(row['trial']):03d}")
        assert trial["validation"]["dice"] == float(row["dice"]) > 0
    history = MlflowClient(store).get_metric_history(parent.info.run_id, "trials/dice")
    assert [(m.step, m.value) for m in history] == [(int(row["trial"]), float(row["dice"])) for row in rows]


def test_no_trial_sees_the_test_set(swept: tuple[Path, str], store: str) -> None:
    out, _ = swept
    splits = {path.parent.name: read_summary(path.parent)["cases"] for path in out.glob("trials/*/summary.json")}
    assert [cases["test"] for cases in splits.values()] == [0, 0, 0]
    for row in read_table(out):
        run = run_of(store, row["run_id"])
        assert not [name for name in run.data.metrics if name.startswith("test")]
        assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["data-train", "data-validation"]
        assert not run.outputs.model_outputs


def test_only_the_score_of_the_retrained_networks_is_reported(swept: tuple[Path, str], store: str) -> None:
    out, told = swept
    summary = read_summary(out)
    (part,) = summary["seeds"]
    best = max(read_table(out), key=lambda row: float(row["dice"]))
    assert summary["best_trial"] == int(best["trial"])
    again = read_summary(Path(part["model"]).parent)
    assert (part["seed"], part["run_id"], part["test"]) == (7, again["run_id"], again["test"])
    assert summary["test"] == again["test"]
    assert summary["test_std"]["dice"] is None
    assert again["cases"]["test"] > 0
    parent = run_of(store, summary["run_id"])
    assert parent.data.metrics["test/dice"] == again["test"]["dice"]
    assert run_of(store, part["run_id"]).data.params["seed"] == "7"
    end = told.partition("retrained: ")[2]
    assert f"seed 7 {again['test']['dice']:.4f}; mean {again['test']['dice']:.4f}" in end
    assert "the best of many trials is partly luck" in end
    assert "Research use only" in end
    files = {file.path for file in MlflowClient(store).list_artifacts(parent.info.run_id)}
    assert files >= {"best.yaml", "trials.csv", "history.png", "summary.json", "config.yaml", "check.json"}


def test_the_best_recipe_is_one_of_the_train_command(swept: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = swept
    recipe = build_config(train_xray.TrainXrayConfig, [str(out / "best.yaml")])
    settings = read_summary(out)["best_settings"]
    assert recipe.optim.learning_rate == settings["optim.learning_rate"]
    assert recipe.model.width == settings["model.width"]
    assert (recipe.seed, recipe.train.epochs, recipe.train.resume) == (1, 2, False)
    assert recipe.output.dir == Path("output/train_xray")
    train_xray.main([str(out / "best.yaml"), "train.epochs=1", f"output.dir={tmp_path}"])
    assert (tmp_path / "best.pt").is_file()


def test_a_finished_sweep_is_only_read(swept: tuple[Path, str], data: Path, store: str) -> None:
    out, told = swept
    before = (out / "summary.json").stat().st_mtime_ns
    again = run_here(data, out, store)
    assert again == told[told.index("3 trials") :]
    assert (out / "summary.json").stat().st_mtime_ns == before


def test_other_settings_are_refused_and_named(swept: tuple[Path, str], data: Path, store: str) -> None:
    out, _ = swept
    with pytest.raises(ConfigError, match=r"other values of loss.name, sweep.space.model.width\. Start a new one"):
        run_here(data, out, store, "sweep.model.width=[4, 8]", "loss.name=dice")


def test_a_killed_sweep_is_resumed_even_with_more_trials_as_if_nothing_had_happened(
    swept: tuple[Path, str], data: Path, store: str, tmp_path: Path
) -> None:
    whole, _ = swept
    words = list_words(data, tmp_path, store)
    assert stop_after("trial 1:|epoch 1", signal.SIGKILL, *words, "sweep.trials=2", module="sweep") == -signal.SIGKILL
    parent = json.loads((tmp_path / "sweep.json").read_text())["run_id"]
    run_here(data, tmp_path, store)
    assert without_runs(read_table(tmp_path)) == without_runs(read_table(whole))
    summary = read_summary(tmp_path)
    assert summary["run_id"] == parent
    assert summary["test"] == read_summary(whole)["test"]
    states = sorted(run.info.status for run in list_nested(store, parent))
    assert states.count("FINISHED") == 4
    assert len(states) - 4 == states.count("KILLED") <= 1  # if there was no last.pt yet


def test_processes_share_the_trials(data: Path, store: str, tmp_path: Path) -> None:
    words = list_words(data, tmp_path, store, "sweep.trials=4")
    with Forked("pipelines.sweep", *words) as first, Forked("pipelines.sweep", *words) as second:
        told = [process.communicate(timeout=240) for process in (first, second)]
        assert [process.wait() for process in (first, second)] == [0, 0], told
    lines = sorted(line for out, _ in told for line in out.splitlines() if line.startswith("trial "))
    assert [line[:7] for line in lines] == ["trial 0", "trial 1", "trial 2", "trial 3"]
    assert len([line for out, _ in told for line in out.splitlines() if line.startswith("seed 7:")]) == 1
    ends = {out[out.index("4 trials: 4 complete") :] for out, _ in told}
    assert len(ends) == 1
    assert sorted(run.info.status for run in list_nested(store, read_summary(tmp_path)["run_id"])) == ["FINISHED"] * 5


def test_if_the_leading_process_is_killed_another_one_leads(data: Path, store: str, tmp_path: Path) -> None:
    words = list_words(data, tmp_path, store, "train.epochs=10")
    with Forked("pipelines.sweep", *words) as first:
        wait_for(first, "trial 0:")
        with Forked("pipelines.sweep", *words) as second:
            wait_for(second, "trial ")
            first.kill()
            told, problems = second.communicate(timeout=240)
            assert second.wait() == 0, problems
    assert "3 trials: 3 complete" in told
    parent = run_of(store, json.loads((tmp_path / "sweep.json").read_text())["run_id"])
    assert read_summary(tmp_path)["run_id"] == parent.info.run_id
    assert (parent.info.status, parent.data.tags["medseg.resumed"]) == ("FINISHED", "1")
    assert [run.info.status for run in list_nested(store, parent.info.run_id)].count("FINISHED") == 4


def wait_for(process: Forked, start: str) -> None:
    """Read what the process logs, up to a line that begins like that."""
    assert any(line.startswith(start) for line in process.stderr)


def test_poor_trials_are_pruned_and_diverged_ones_fail_but_the_sweep_goes_on(
    data: Path, store: str, tmp_path: Path
) -> None:
    told = run_here(
        data,
        tmp_path,
        store,
        "sweep.space={}",
        "sweep.optim.learning_rate=[0.01, 1e-9, 1e30]",
        *("sweep.trials=6", "sweep.prune=true", "sweep.startup_trials=1", "sweep.startup_epochs=0", "train.epochs=3"),
    )
    rows = read_table(tmp_path)
    states = {(row["optim.learning_rate"], row["state"]) for row in rows}
    assert states == {("0.01", "complete"), ("1e-09", "pruned"), ("1e+30", "fail")}
    for row in rows:
        run = run_of(store, row["run_id"])
        assert run.data.tags["medseg.trial_state"] == row["state"]
        assert run.info.status == ("FAILED" if row["state"] == "fail" else "FINISHED")
        if row["state"] == "pruned":
            folder = tmp_path / "trials" / f"{int(row['trial']):03d}"
            assert read_summary(folder)["epochs"] == int(row["pruned_at"]) < 3
            assert run.data.tags["medseg.pruned_at_epoch"] == row["pruned_at"]
        if row["state"] == "fail":
            assert "the loss is nan" in row["reason"]
            assert run.data.tags["medseg.failure"] == row["reason"]
    assert re.search(r"trial \d \(of 0 to 5\) failed: the loss is nan", told)


def test_two_objectives_have_a_front_and_the_cost_is_counted(data: Path, store: str, tmp_path: Path) -> None:
    run_here(data, tmp_path, store, "sweep.objectives=[dice, tflop]", "sweep.margin=1", "sweep.trials=2")
    rows = read_table(tmp_path)
    for row in rows:
        card = ModelCard(
            classes=("box", "disc"),
            model=ModelConfig(width=int(row["model.width"]), depth=2),
            preprocess=PreprocessConfig(size=(32, 32)),
        )
        steps, batch = 2 * (read_summary(tmp_path / "trials/000")["cases"]["train"] // 4), 4
        gflop = count_gflop(card.build_network(), (1, 32, 32), training=True)
        assert float(row["tflop"]) == pytest.approx(steps * batch * gflop / 1000)
    summary = read_summary(tmp_path)
    cheapest = min(rows, key=lambda row: float(row["tflop"]))
    assert summary["best_trial"] == int(cheapest["trial"])  # any Dice is within the margin
    with Image.open(tmp_path / "pareto.png") as image:
        assert image.width > 600
    files = {file.path for file in MlflowClient(store).list_artifacts(summary["run_id"])}
    assert "pareto.png" in files
    assert run_of(store, rows[0]["run_id"]).data.metrics["objective/tflop"] == float(rows[0]["tflop"])


def test_bad_data_end_the_sweep_before_its_first_trial(data: Path, store: str, tmp_path: Path) -> None:
    broken = write_png_folder(tmp_path / "data", 6)
    next((broken / "images").iterdir()).write_bytes(b"no image")
    with pytest.raises(DataError):
        run_here(broken, tmp_path / "out", store)
    assert not (tmp_path / "out" / "trials").exists()


def test_a_sweep_without_a_complete_trial_says_why(data: Path, store: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no trial was completed \(the loss is nan"):
        run_here(data, tmp_path, store, "sweep.space={}", "sweep.optim.learning_rate=[1e29, 1e30]", "sweep.trials=1")


def test_a_size_that_does_not_fit_the_network_is_refused_at_once(data: Path, store: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sweep: model.depth: 7: .* at least 129 x 129"):
        run_here(data, tmp_path, store, "sweep.model.depth=[2, 7]")
    assert not any(tmp_path.iterdir())
