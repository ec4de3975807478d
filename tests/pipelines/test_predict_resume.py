"""Stopped, killed, out of disk: a rerun completes the same set of files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.prediction_command import MODULE, build_arguments, by_path, contents, predict, rows
from tests.support.processes import ROOT, Forked

pytestmark = pytest.mark.slow

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
FORMATS = "output.formats=[seg,png,nifti,overlay]"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures, a text and a broken one."""
    root = tmp_path_factory.mktemp("input")
    rng = np.random.default_rng(3)
    for index in range(20):
        pixels = np.roll(phantom(400, 320), 13 * index, axis=1) // 2 + rng.integers(0, 200, (400, 320), dtype=np.uint16)
        write_dicom(root / f"{index:02d}.dcm", pixels, SOPInstanceUID=f"1.2.3.{index + 1}")
    (root / "cut.dcm").write_bytes((root / "00.dcm").read_bytes()[:5000])
    (root / "notes.txt").write_text("no picture")
    return root


@pytest.fixture(scope="module")
def whole(model: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    output = tmp_path_factory.mktemp("whole")
    done = predict(f"model={model}", f"input.dir={folder}", f"output.dir={output}", FORMATS, environment=EPOCH)
    assert done.returncode == 1, done.stderr
    return output


def lasting(output: Path) -> dict[str, bytes]:
    """What must be the same however often a run was interrupted: all but times and the journal."""
    found = contents(output)
    for name in (".lock", "journal.jsonl", "summary.json", "report.jsonl", "report.csv"):
        found.pop(name, None)
    if (output / "report.csv").exists():
        table = [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows(output)]
        found["report"] = json.dumps(table).encode()
    return found


def test_a_second_run_does_nothing_and_changes_no_byte(model: Path, folder: Path, whole: Path) -> None:
    before, times = contents(whole), written_at(whole)
    same = folder / ".." / folder.name
    done = predict(f"model={model}", f"input.dir={same}", f"output.dir={whole}", FORMATS)
    assert done.returncode == 1
    assert contents(whole) == before
    assert written_at(whole) == times


def written_at(output: Path) -> dict[Path, int]:
    names = (".lock", "journal.jsonl")
    return {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file() and path.name not in names}


def test_what_was_deleted_is_made_again_and_nothing_else(
    model: Path, folder: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = (f"model={model}", f"input.dir={folder}", f"output.dir={output}", FORMATS)
    predict(*arguments, environment=EPOCH)
    row = by_path(output)["07.dcm"]
    (output / "seg" / f"{row['id']}.dcm").unlink()
    kept = {
        path: path.stat().st_mtime_ns for path in output.rglob("*.*") if path.is_file() and row["id"] not in path.name
    }
    predict(*arguments)  # another date now: the journal's counts
    assert json.loads((output / "summary.json").read_text())["predicted"] == 1
    assert lasting(output) == lasting(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items() if path.parent != output)


def test_another_model_or_configuration_makes_all_anew(model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    other = write_model(tmp_path / "other.pt", classes=("heart", "spine"), seed=5)
    arguments = (f"input.dir={folder}", f"output.dir={output}", "output.formats=[png]")
    predict(f"model={model}", *arguments)
    predict(f"model={model}", *arguments, "predict.threshold=0.49")
    assert json.loads((output / "summary.json").read_text())["predicted"] == 20
    predict(f"model={other}", *arguments)
    assert json.loads((output / "summary.json").read_text())["predicted"] == 20
    assert len(list((output / "png" / "spine").iterdir())) == 20
    assert list((output / "png" / "lungs").iterdir()) == []  # a mask of another model is not left beside the new ones


def test_twenty_kills_and_a_rerun_leave_the_same_files(model: Path, folder: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = [f"model={model}", f"input.dir={folder}", f"output.dir={output}", FORMATS]
    arguments += ["predict.workers=1", "predict.backend=torch"]
    reference = lasting(whole)
    script = ROOT / "tests" / "support" / "killed_prediction.py"
    with subprocess.Popen(
        [sys.executable, str(script), "20", "1", *arguments],
        cwd=ROOT,
        env={**os.environ, **EPOCH, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdout is not None
        for _ in killed.stdout:
            for name, content in lasting(output).items():
                if name != "report" and not name.rpartition("/")[2].startswith("."):
                    assert content == reference[name], name
    assert killed.returncode == 0
    done = predict(*arguments, environment=EPOCH)
    assert done.returncode == 1, done.stderr
    assert lasting(output) == reference
    assert not list(output.rglob("*.tmp"))


def limit_file_size(command: list[str], kilobytes: int) -> list[str]:
    return ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "bash", *command]


@pytest.mark.parametrize("where", ["tmpfs", "quota"])
def test_a_full_disk_ends_with_an_error_and_the_rerun_completes(
    where: str, model: Path, folder: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    arguments = (f"model={model}", f"input.dir={folder}", f"output.dir={output}", FORMATS)
    command = [sys.executable, "-m", MODULE, *build_arguments(*arguments)]
    if where == "tmpfs":
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", output], capture_output=True)
        if mounted.returncode:
            pytest.skip("a tmpfs may not be mounted here")
    else:
        command = limit_file_size(command, 60)
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **EPOCH}, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 1, done.stderr
        assert "could not be written" in done.stderr
        assert "Traceback" not in done.stderr
        reference = lasting(whole)
        for name, content in lasting(output).items():
            assert content == reference[name], name
        if where == "tmpfs":
            subprocess.run(["mount", "-o", "remount,size=100m", output], check=True)
        done = predict(*arguments, environment=EPOCH)
        assert done.returncode == 1, done.stderr
        assert lasting(output) == reference
    finally:
        if where == "tmpfs":
            subprocess.run(["umount", output], check=True)


def wait_for(condition: object, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("group", [False, True])
def test_sigterm_finishes_what_is_under_way_and_the_rerun_the_rest(
    group: bool, model: Path, folder: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = (f"model={model}", f"input.dir={folder}", f"output.dir={output}", FORMATS)
    given = build_arguments(*arguments, "predict.batch_size=1", "predict.workers=1")
    with Forked(MODULE, *given, environment=EPOCH, start_new_session=True) as process:
        wait_for(lambda: list(output.glob("seg/*.dcm")))
        os.killpg(process.pid, signal.SIGTERM) if group else process.terminate()
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 143, errors
    summary = json.loads((output / "summary.json").read_text())
    assert not summary["complete"]
    assert "receipt" not in summary
    assert 0 < summary["status"]["done"] < 20
    assert {row["status"] for row in rows(output) if row["path"] not in ("cut.dcm", "notes.txt")} == {"done"}
    done = predict(*arguments, environment=EPOCH)
    assert done.returncode == 1
    assert lasting(output) == lasting(whole)


def test_stopping_a_rerun_does_not_shorten_the_report(model: Path, folder: Path, tmp_path: Path) -> None:
    root, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(folder, root)
    arguments = (f"model={model}", f"input.dir={root}", f"output.dir={output}")
    predict(*arguments)
    for index in range(6):  # new files, first in the walk
        write_dicom(root / f"!{index}.dcm", phantom(900, 800) + np.uint16(index), SOPInstanceUID=f"1.2.4.{index + 1}")
    with Forked(MODULE, *build_arguments(*arguments, "predict.batch_size=1", "predict.workers=1")) as process:
        wait_for(lambda: len(list((output / "seg").glob("*.dcm"))) > 20)
        process.terminate()
        process.communicate(timeout=240)
    assert process.returncode == 143
    found = [row["path"] for row in rows(output)]
    assert [path for path in found if not path.startswith("!")] == sorted(path.name for path in folder.iterdir())
    predict(*arguments)
    assert len(rows(output)) == len(list(root.iterdir()))
    assert json.loads((output / "summary.json").read_text())["complete"]


def test_results_of_content_that_is_gone_are_removed(model: Path, folder: Path, tmp_path: Path) -> None:
    root, output = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    arguments = (f"model={model}", f"input.dir={root}", f"output.dir={output}")
    for name in ("01.dcm", "02.dcm"):
        shutil.copy(folder / name, root / "x.dcm")
        predict(*arguments)
    assert [path.stem for path in (output / "seg").iterdir()] == [row["id"] for row in rows(output)]


def test_what_was_made_in_other_formats_stays_and_is_not_remade(model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    root = tmp_path / "in"
    root.mkdir()
    shutil.copy(folder / "01.dcm", root)
    arguments = (f"model={model}", f"input.dir={root}", f"output.dir={output}")
    predict(*arguments, "output.formats=[png,seg]")
    (segmentation,) = (output / "seg").iterdir()
    before = segmentation.read_bytes()
    predict(*arguments, "output.formats=[overlay]")
    assert segmentation.read_bytes() == before
    assert len(list((output / "overlay").iterdir())) == 1
    predict(*arguments, "output.formats=[seg,png]", "report.uids=true")
    assert segmentation.read_bytes() == before  # the date of the first time


def test_another_input_sets_the_report_aside_and_leaves_results(model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for index in (1, 2):
        (tmp_path / str(index)).mkdir()
        shutil.copy(folder / f"{index:02d}.dcm", tmp_path / str(index) / "x.dcm")
        predict(f"model={model}", f"input.dir={tmp_path / str(index)}", f"output.dir={output}")
    assert len(list((output / "seg").iterdir())) == 2
    assert rows(output / "earlier" / "1")[0]["id"] != rows(output)[0]["id"]


def test_a_watched_folder_takes_files_once_they_have_stopped_growing(model: Path, folder: Path, tmp_path: Path) -> None:
    drop, output = tmp_path / "drop", tmp_path / "out"
    drop.mkdir()
    picture = (folder / "03.dcm").read_bytes()
    (drop / "first.dcm").write_bytes(picture)
    arguments = (f"model={model}", f"input.dir={drop}", f"output.dir={output}", "input.watch=true")
    with Forked(MODULE, *build_arguments(*arguments, "input.poll_seconds=2")) as process:
        wait_for((output / "report.csv").exists)
        wait_for(lambda: len(rows(output)) == 1)
        with (drop / "second.dcm").open("wb") as growing:
            for start in range(0, len(picture), len(picture) // 6):
                growing.write(picture[start : start + len(picture) // 6])
                growing.flush()
                time.sleep(0.25)
        wait_for(lambda: len(rows(output)) == 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert {row["path"]: row["status"] for row in rows(output)} == {"first.dcm": "done", "second.dcm": "done"}
    assert by_path(output)["second.dcm"]["warnings"].endswith(f"duplicate of {by_path(output)['first.dcm']['id']}")


def test_two_commands_at_a_time_do_not_write_into_one_folder(model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = (f"model={model}", f"input.dir={folder}", f"output.dir={output}")
    with Forked(MODULE, *build_arguments(*arguments, "input.watch=true")) as first:
        wait_for((output / "journal.jsonl").exists)
        second = predict(*arguments)
        first.terminate()
        first.communicate(timeout=240)
    assert second.returncode == 2
    assert "another process" in second.stderr
