"""Killed, stopped, damaged, continued."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from tests.support.training_command import run_of, stop_after, train, weights

pytestmark = pytest.mark.slow

Trained = tuple[Path, Path, subprocess.CompletedProcess[str]]


def test_killed_and_resumed_equals_unbroken_bit_for_bit(
    trained: Trained,
    tmp_path: Path,
    store: str,
) -> None:
    data, out, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", "train.epochs=6", f"tracking.uri={store}")
    stop_after("epoch 3", signal.SIGKILL, *arguments, "train.save_seconds=0.001")
    killed = torch.load(tmp_path / "last.pt", weights_only=True)
    iteration, run_id = killed["training"]["iteration"], killed["card"]["run_id"]
    length = killed["training"]["epoch_length"]
    assert 0 < iteration < 6 * length
    assert run_of(store, run_id).info.status == "RUNNING"
    done = train(*arguments, "train.resume=true")
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(folder / "last.pt", weights_only=True) for folder in (out, tmp_path))
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])
    states = [content["training"]["network"] for content in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert [h["epoch"] for h in second["training"]["history"]] == [1, 2, 3, 4, 5, 6]
    best = [weights(folder / "best.pt") for folder in (out, tmp_path)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    assert json.loads((tmp_path / "summary.json").read_text())["run_id"] == run_id
    assert run_of(store, run_id).info.status == "FINISHED"


def test_sigterm_saves_and_leaves_killed(
    trained: Trained,
    tmp_path: Path,
    store: str,
) -> None:
    data, _, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", "train.epochs=4000", f"tracking.uri={store}")
    assert stop_after("epoch 2", signal.SIGTERM, *arguments) == 143
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["training"]["iteration"] > 0
    assert run_of(store, saved["card"]["run_id"]).info.status == "KILLED"


def test_damaged_last_is_named_and_the_previous_used(
    trained: Trained,
    tmp_path: Path,
    store: str,
) -> None:
    data, _, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", f"tracking.uri={store}", "train.save_seconds=0.001")
    assert train(*arguments, "train.epochs=2").returncode == 0
    damaged = bytearray((tmp_path / "last.pt").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "last.pt").write_bytes(damaged)
    done = train(*arguments, "train.epochs=3", "train.resume=true")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'last.pt'}: damaged" in done.stderr
    assert "last.previous.pt" in done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())  # the second of this run, whose figures count
    assert run_of(store, summary["run_id"]).data.metrics["test/dice"] == pytest.approx(summary["test"]["dice"])
    (tmp_path / "last.pt").write_bytes(b"")
    (tmp_path / "last.previous.pt").write_bytes(b"")
    done = train(*arguments, "train.epochs=4", "train.resume=true")
    assert done.returncode == 2
    assert "last.pt" in done.stderr


def test_other_architecture_or_classes_are_refused_with_the_difference(
    trained: Trained,
    store: str,
) -> None:
    data, out, _ = trained
    arguments = (f"data.root={data}", f"train.resume={out / 'last.pt'}", f"tracking.uri={store}")
    done = train(*arguments, "model.width=8", "data.classes=[disc]", f"output.dir={out.parent / 'other'}")
    assert done.returncode == 2
    assert "model.width is 4 in the checkpoint, but 8 now" in done.stderr
    assert "classes is [box, disc] in the checkpoint, but [disc] now" in done.stderr


def test_fresh_start_sets_earlier_results_aside(
    trained: Trained,
    tmp_path: Path,
    store: str,
) -> None:
    data, _, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", f"tracking.uri={store}", "train.epochs=1")
    assert train(*arguments).returncode == 0
    before = (tmp_path / "best.pt").read_bytes()
    assert train(*arguments, "seed=2").returncode == 0
    assert (tmp_path / "earlier" / "1" / "best.pt").read_bytes() == before
    assert (tmp_path / "best.pt").read_bytes() != before


def test_resume_without_a_checkpoint_is_no_silent_fresh_start(tmp_path: Path, png_folder: Path) -> None:
    done = train(f"data.root={png_folder}", f"output.dir={tmp_path / 'out'}", "train.resume=true")
    assert done.returncode == 2
    assert "last.pt: no such file" in done.stderr


def test_stopped_by_ctrl_c_and_resumed_equals_unbroken(trained: Trained, tmp_path: Path, store: str) -> None:
    data, out, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", "train.epochs=6", f"tracking.uri={store}")
    assert stop_after("epoch 2", signal.SIGINT, *arguments) == 130
    done = train(*arguments, "train.resume=true")
    assert done.returncode == 0, done.stderr
    for name in ("best.pt", "last.pt"):
        first, second = (weights(folder / name) for folder in (out, tmp_path))
        assert all(torch.equal(first[key], second[key]) for key in first), name


def test_resume_from_another_folder_brings_its_best_model_along(trained: Trained, tmp_path: Path, store: str) -> None:
    data, out, _ = trained
    resume = f"train.resume={out / 'last.pt'}"
    done = train(f"data.root={data}", resume, "train.epochs=6", f"output.dir={tmp_path}", f"tracking.uri={store}")
    assert done.returncode == 0, done.stderr
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (out, tmp_path)]
    assert summaries[0]["test"] == pytest.approx(summaries[1]["test"], abs=1e-6)
    assert "resume:" not in (tmp_path / "config.yaml").read_text()


def test_other_cases_are_not_resumed_with(trained: Trained, tmp_path: Path, store: str) -> None:
    data, out, _ = trained
    done = train(
        f"data.root={data}",
        f"train.resume={out / 'last.pt'}",
        "split.seed=5",
        f"output.dir={tmp_path}",
        f"tracking.uri={store}",
    )
    assert done.returncode == 2
    assert "training cases are only in the checkpoint or only in the current data set and split" in done.stderr


def test_accumulated_gradients_survive_a_stop(trained: Trained, tmp_path: Path, store: str) -> None:
    data, _, _ = trained
    arguments = (
        f"data.root={data}",
        "train.batch_size=2",
        "train.accumulate=4",
        "train.epochs=4",
        f"tracking.uri={store}",
    )
    assert train(*arguments, f"output.dir={tmp_path / 'whole'}").returncode == 0
    stopped = (*arguments, f"output.dir={tmp_path / 'stopped'}")
    assert stop_after("epoch 1", signal.SIGTERM, *stopped) == 143
    assert train(*stopped, "train.resume=true").returncode == 0
    first, second = (weights(tmp_path / folder / "last.pt") for folder in ("whole", "stopped"))
    assert all(torch.equal(first[key], second[key]) for key in first)
