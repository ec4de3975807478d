"""Trainings on two processes, as torchrun starts them: equal, stopped, killed, hanging, with bad data."""

import json
import signal
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.support.processes import Forked
from tests.support.shape_images import write_png_folder
from tests.support.torchrun import Torchrun, end
from tests.support.training_command import TINY, stop_after, train, weights

pytestmark = pytest.mark.slow

ALIKE = (
    *("model.batch_norm=false", "model.dropout=0", "train.batch_size=5", "train.precision=fp32"),
    *("optim.name=sgd", "optim.learning_rate=0.05"),
)
"""Two processes then equal one but for rounding, which Adam would make larger where gradients are small."""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory, store: str) -> tuple[str, ...]:
    data = write_png_folder(tmp_path_factory.mktemp("data") / "data", 24)
    return (
        *ALIKE,
        f"data.root={data}",
        f"tracking.uri={store}",
        "train.epochs=24",
        "train.validate_every=6",
        "train.timeout_seconds=60",
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, arguments: tuple[str, ...]) -> Path:
    out = tmp_path_factory.mktemp("alone") / "out"
    done = train(*arguments, f"output.dir={out}", "output.masks=true")
    assert done.returncode == 0, done.stderr
    return out


def summary(out: Path) -> dict[str, object]:
    return json.loads((out / "summary.json").read_text())  # type: ignore[no-any-return]


def assert_same_result(out: Path, alone: Path) -> None:
    for name in ("best.pt", "last.pt"):
        assert_close(weights(out / name), weights(alone / name), rtol=0, atol=1e-5)
    for part in ("validation", "test"):
        assert summary(out)[part] == pytest.approx(summary(alone)[part], abs=0.01)  # a pixel or two


def await_line(process: Forked, start: str) -> None:
    for line in process.stderr:
        if line.startswith(start):
            return
    pytest.fail(f"{start}: never printed")


def runs_of(store: str, out: Path) -> list[str]:
    """The states of the MLflow runs of the training in a folder."""
    from medseg.tracking.store import import_mlflow

    client = import_mlflow().MlflowClient(store)
    names = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(names, f"params.`output.dir` = '{out}'")
    return [run.info.status for run in found]


def test_they_give_the_result_of_one_process_and_only_the_first_one_speaks(
    arguments: tuple[str, ...], alone: Path, tmp_path: Path, store: str
) -> None:
    first, second = Torchrun().train(*arguments, f"output.dir={tmp_path}", "output.masks=true")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert (second.stdout, second.stderr) == ("", "")
    assert first.stdout.startswith("test Dice: ")
    assert_same_result(tmp_path, alone)
    masks = [sorted((out / "masks").rglob("*.png")) for out in (tmp_path, alone)]
    assert [path.read_bytes() for path in masks[0]] == [path.read_bytes() for path in masks[1]] != []
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in alone.iterdir()} | {".torchrun"}
    assert runs_of(store, tmp_path) == ["FINISHED"]


def test_a_signal_to_one_stops_both_and_one_process_resumes(
    arguments: tuple[str, ...], alone: Path, tmp_path: Path, store: str
) -> None:
    with Torchrun().start("pipelines.train_xray", *TINY, *arguments, f"output.dir={tmp_path}") as running:
        await_line(running[0], "epoch 1")
        running[1].send_signal(signal.SIGTERM)
        first, second = end(running)
    assert (first.returncode, second.returncode) == (143, 143), first.stderr + second.stderr
    assert "stopped by SIGTERM" in first.stderr
    assert second.stderr == ""
    assert runs_of(store, tmp_path) == ["KILLED"]
    done = train(*arguments, f"output.dir={tmp_path}", "train.resume=true")
    assert done.returncode == 0, done.stderr
    assert_same_result(tmp_path, alone)
    assert runs_of(store, tmp_path) == ["FINISHED"]


def test_two_processes_resume_what_one_began(arguments: tuple[str, ...], alone: Path, tmp_path: Path) -> None:
    assert stop_after("epoch 1", signal.SIGINT, *arguments, f"output.dir={tmp_path}") == 130
    done = Torchrun().train(*arguments, f"output.dir={tmp_path}", "train.resume=true")
    assert [each.returncode for each in done] == [0, 0], done[0].stderr + done[1].stderr
    assert_same_result(tmp_path, alone)


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_and_started_again_by_torchrun_it_goes_on_in_the_same_run(
    arguments: tuple[str, ...], alone: Path, tmp_path: Path, store: str, killed: int
) -> None:
    torchrun, command = Torchrun(), (*TINY, *arguments, f"output.dir={tmp_path}", "train.save_seconds=0.001")
    with torchrun.start("pipelines.train_xray", *command) as running:
        await_line(running[0], "epoch 2")
        running[killed].kill()
        ended = end(running)
    assert ended[killed].returncode == -9
    assert ended[1 - killed].returncode == 1
    assert ended[1 - killed].stderr.splitlines()[-1].startswith("error: another process of this training has ended.")
    saved = torch.load(tmp_path / "last.pt", weights_only=True)["training"]["iteration"]
    assert saved > 0
    first, second = torchrun.run("pipelines.train_xray", *command)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "torchrun has started this training again" in first.stderr
    assert f"iteration {saved}\n" in first.stderr
    assert_same_result(tmp_path, alone)
    assert runs_of(store, tmp_path) == ["FINISHED"]


def test_one_that_hangs_ends_the_training_after_a_time(arguments: tuple[str, ...], tmp_path: Path) -> None:
    command = *TINY, *arguments, f"output.dir={tmp_path}", "train.epochs=4000", "train.timeout_seconds=15"
    with Torchrun().start("pipelines.train_xray", *command) as running:
        await_line(running[0], "epoch 1")
        running[1].send_signal(signal.SIGSTOP)
        (first,) = end(running[:1])
        assert first.returncode == 1
        errors = [line for line in first.stderr.splitlines() if line.startswith("error")]
        assert errors == [
            "error: a process of this training has not answered for 15 seconds. Look for what it waits for (a disk, a "
            "GPU, the network), or raise train.timeout_seconds. Start again with train.resume=true"
        ]
        assert "Traceback" not in first.stderr


def test_bad_data_are_named_once(arguments: tuple[str, ...], tmp_path: Path, store: str) -> None:
    data = write_png_folder(tmp_path / "data", 24)
    for case in ("case03", "case20"):  # in the share of each process
        (data / "images" / f"{case}.png").write_bytes(b"no image")
    done = Torchrun().train(*arguments, f"data.root={data}", f"output.dir={tmp_path / 'out'}")
    assert [each.returncode for each in done] == [2, 2]
    texts = done[0].stderr + done[1].stderr
    assert texts.count("this data set cannot be used") == 1
    assert "case03.png" in texts
    assert "case20.png" in texts
    assert runs_of(store, tmp_path / "out") == []


def test_a_wrong_setting_is_named_once(tmp_path: Path) -> None:
    done = Torchrun().train(f"output.dir={tmp_path}", "train.epoch=3")
    assert [each.returncode for each in done] == [2, 2]
    assert "train.epochs" in done[0].stderr
    assert done[1].stderr == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("train.batch_size=1",), "2 processes, but a batch has 1 of "),
        (("split.fractions=[0.9,0.01,0.09]",), "2 processes, but 1 validation cases; "),
    ],
)
def test_too_few_cases_for_the_processes_are_refused(
    arguments: tuple[str, ...], tmp_path: Path, settings: tuple[str, ...], said: str
) -> None:
    done = Torchrun().train(*arguments, f"output.dir={tmp_path}", *settings)
    assert [each.returncode for each in done] == [2, 2]
    assert (done[0].stderr + done[1].stderr).count(said) == 1


def test_other_commands_refuse_several_processes_once(tmp_path: Path) -> None:
    done = Torchrun().run("pipelines.cross_validate", f"output.dir={tmp_path / 'out'}")
    assert [each.returncode for each in done] == [2, 2]
    assert "torchrun started 2 processes, but only the train command runs on several" in done[0].stderr
    assert done[1].stderr == ""
    assert not (tmp_path / "out").exists()
