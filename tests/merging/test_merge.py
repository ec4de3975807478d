import csv
import json
import os
import shutil
import signal
from multiprocessing import get_context
from pathlib import Path

import pytest

from medseg.errors import ConfigError
from medseg.folder.journal import Journal
from medseg.merging.merge import merge_shards
from medseg.output.folder import hold_folder
from tests.merging.conftest import Predicted
from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.object_stores import open_store, s3_server
from tests.support.prediction_command import contents, predict, rows

TABLES = ("report.csv", "report.jsonl")


@pytest.fixture
def shards(predicted: Predicted, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of both shards, which a test may change."""
    one, two = (shutil.copytree(each, tmp_path / each.name) for each in predicted.shards)
    return one, two


@pytest.fixture(scope="module")
def merged(predicted: Predicted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged")
    merge_shards(predicted.shards[::-1], folder)
    return folder


def tables(folder: Path) -> tuple[list[list[str]], list[list[object]]]:
    """Both tables cell by cell, in the order of their columns, without seconds."""
    with (folder / "report.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    column = lines[0].index("seconds")
    with (folder / "report.jsonl").open() as file:
        records = [[cell for cell in json.loads(line).items() if cell[0] != "seconds"] for line in file]
    return [[cell for n, cell in enumerate(line) if n != column] for line in lines], records


def results(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if "/" in name}


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_both_tables_are_those_of_one_run(predicted: Predicted, merged: Path) -> None:
    assert tables(merged) == tables(predicted.plain)
    duplicates = [row["path"] for row in rows(merged) if "duplicate" in row["warnings"]]
    assert duplicates == ["new/0.dcm", "new/1.dcm", "x.dcm", "y.dcm", "z.dcm"]
    in_shards = [row["path"] for each in predicted.shards for row in rows(each) if "duplicate" in row["warnings"]]
    assert set(in_shards) < set(duplicates)  # some files and their firsts are in two shards


def test_masks_summary_and_receipt_are_those_of_one_run(predicted: Predicted, merged: Path) -> None:
    assert results(merged) == results(predicted.plain)
    assert all(path.stat().st_nlink > 1 for path in merged.glob("seg/*"))  # no second copy on the disk
    plain, joined = summary(predicted.plain), summary(merged)
    assert joined.pop("shards") == [
        {name: summary(each)[name] for name in ("shard", "predicted", "seconds")} for each in predicted.shards
    ]
    assert joined["config"]["output"]["dir"] == str(merged)
    joined["config"]["output"] = plain["config"]["output"]
    times = ("seconds", "images_per_second", "shares")
    assert {name: joined[name] for name in joined if name not in times} == {
        name: plain[name] for name in plain if name not in times
    }
    assert joined["seconds"] == pytest.approx(sum(summary(each)["seconds"] for each in predicted.shards))


def test_a_run_over_all_files_finds_everything_done(predicted: Predicted, tmp_path: Path) -> None:
    merge_shards(predicted.shards, tmp_path)
    before = contents(tmp_path) | {".lock": b""}
    done = predict(*predicted.settings, f"output.dir={tmp_path}")
    assert "; 0 predicted now" in done.stdout
    assert contents(tmp_path) == before


def test_joining_again_changes_nothing(predicted: Predicted, tmp_path: Path) -> None:
    merge_shards(predicted.shards, tmp_path)
    before = contents(tmp_path)
    merge_shards(predicted.shards, tmp_path)
    assert contents(tmp_path) == before


def test_a_changed_shard_replaces_its_part(predicted: Predicted, merged: Path, tmp_path: Path) -> None:
    shutil.copytree(merged, tmp_path / "out")
    victim = next((tmp_path / "out/seg").iterdir())
    victim.write_bytes(b"something else")
    merge_shards(predicted.shards, tmp_path / "out")
    assert results(tmp_path / "out") == results(predicted.plain)


def test_results_of_another_model_are_replaced(predicted: Predicted, tmp_path: Path) -> None:
    shutil.copytree(predicted.plain, tmp_path / "out")
    journal = (tmp_path / "out/journal.jsonl").read_text()
    for line in filter(None, journal.splitlines()):
        record = json.loads(line)
        if record.get("outputs"):  # as if a model with another class had been there
            key = record.pop("path")
            stray = f"png/spine/{record['id']}.png"
            with Journal(tmp_path / "out/journal.jsonl") as opened:
                opened.append_key(key, {**record, "configuration": "other", "outputs": {stray: 1}})
            (tmp_path / "out" / stray).parent.mkdir(exist_ok=True)
            (tmp_path / "out" / stray).touch()
    merge_shards(predicted.shards, tmp_path / "out")
    assert results(tmp_path / "out") == results(predicted.plain)


def merge_and_die(inputs: tuple[Path, ...], folder: Path, number: int) -> None:
    """Join shards, but be killed right after `number` records have reached the disk."""
    append, left = Journal.append_key, iter(range(number - 1, -1, -1))

    def append_and_die(self: Journal, key: str, record: dict) -> None:
        append(self, key, record)
        if next(left) == 0:
            self._flush()
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.append_key = append_and_die  # type: ignore[method-assign]
    merge_shards(inputs, folder)


@pytest.mark.parametrize("number", [1, 3, 4, 9])
def test_a_kill_at_any_record_is_made_good_by_joining_again(
    predicted: Predicted, merged: Path, tmp_path: Path, number: int
) -> None:
    killed = get_context("fork").Process(target=merge_and_die, args=(predicted.shards, tmp_path, number))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not (tmp_path / "summary.json").exists()
    merge_shards(predicted.shards, tmp_path)
    assert results(tmp_path) == results(merged)
    assert tables(tmp_path) == tables(merged)


def test_a_report_of_another_folder_is_moved_aside(predicted: Predicted, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(b"input", {"root": "another"})
    (tmp_path / "report.csv").write_text("of another folder")
    merge_shards(predicted.shards, tmp_path)
    assert (tmp_path / "earlier/1/report.csv").read_text() == "of another folder"
    assert tables(tmp_path) == tables(predicted.plain)


def test_all_problems_of_the_inputs_are_told_at_once(predicted: Predicted, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as error:
        merge_shards([predicted.plain, tmp_path / "empty", predicted.shards[0], tmp_path], tmp_path)
    assert str(error.value).splitlines() == [
        "inputs: 3 problems",
        f"  - {predicted.plain}: has a prediction of all files, not of a shard. "
        "Remove it from inputs, or predict with predict.shard",
        f"  - {tmp_path / 'empty'}: has no results of a shard, or they are damaged. Name the output.dir of a "
        "prediction with predict.shard",
        f"  - {tmp_path}: is also output.dir. Choose another output.dir",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_missing_shard_is_named(predicted: Predicted, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"inputs: not among the inputs: shard 2/2. Name its folder, or run"):
        merge_shards(predicted.shards[:1], tmp_path)


def test_an_unfinished_shard_is_refused(shards: tuple[Path, Path], tmp_path: Path) -> None:
    (shards[1] / "summary.json").write_text(json.dumps({**summary(shards[1]), "complete": False}))
    with pytest.raises(ConfigError, match=r"two: shard 2/2 is not finished. Run it again with the same settings"):
        merge_shards(shards, tmp_path / "out")


def test_a_shard_that_is_being_written_is_refused(predicted: Predicted, tmp_path: Path) -> None:
    with (
        hold_folder(predicted.shards[0]),
        pytest.raises(ConfigError, match="one: another process is writing into this"),
    ):
        merge_shards(predicted.shards, tmp_path)


@pytest.mark.parametrize("spoil", ["unlink", "truncate"])
def test_a_result_that_is_not_as_it_was_left_is_noticed(shards: tuple[Path, Path], tmp_path: Path, spoil: str) -> None:
    victim = next((shards[0] / "png/heart").iterdir())
    victim.unlink()
    if spoil == "truncate":
        victim.touch()
    with pytest.raises(ConfigError, match=r"one: 1 of its files have no record .* Run shard 1/2 again with the same"):
        merge_shards(shards, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_report_older_than_the_journal_is_noticed(shards: tuple[Path, Path], tmp_path: Path) -> None:
    lines = (shards[0] / "report.jsonl").read_text().splitlines(keepends=True)
    (shards[0] / "report.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(ConfigError, match="one: its receipt does not belong to its report and journal"):
        merge_shards(shards, tmp_path / "out")


@pytest.mark.parametrize(("name", "content"), [("report.jsonl", '{"id": 1}\n'), ("report.csv", "")])
def test_a_report_that_cannot_be_read_is_named(
    shards: tuple[Path, Path], tmp_path: Path, name: str, content: str
) -> None:
    (shards[0] / name).write_text(content)
    with pytest.raises(ConfigError, match=rf"one/{name}: cannot be read. Run shard 1/2 again"):
        merge_shards(shards, tmp_path / "out")


def test_a_file_in_two_shards_is_refused(shards: tuple[Path, Path], tmp_path: Path) -> None:
    lines = (shards[0] / "journal.jsonl").read_text().splitlines(keepends=True)
    with (shards[1] / "journal.jsonl").open("a") as file:
        file.writelines(line for line in lines if '"id"' in line)
    with pytest.raises(ConfigError, match=r"one and .*two: both have results of the file [0-9a-f]{16}, but"):
        merge_shards(shards, tmp_path / "out")


def test_a_folder_that_changed_between_the_shards_gives_a_warning(
    shards: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = shards[1] / "report.jsonl"
    moved = [json.loads(line) for line in path.read_text().splitlines()]
    for row in moved:  # as if a file had come before the others
        first, *rest = row["position"].split(".")
        row["position"] = ".".join([str(int(first) + 1), *rest])
    path.write_text("".join(json.dumps(row) + "\n" for row in moved))
    merge_shards(shards, tmp_path / "out")
    assert "the input folder has changed between the runs of the shards" in caplog.text


@pytest.mark.slow
def test_results_in_an_object_store_stay_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        write_dicom(tmp_path / "in" / f"{index}.dcm", phantom(40, 32), SOPInstanceUID=f"1.2.{index}")
    given = [f"model={write_model(tmp_path / 'model.pt')}", f"input.dir={tmp_path / 'in'}", "output.formats=[png]"]
    with s3_server("masks") as environment:
        given += ["folder.results=s3://masks/here", "predict.workers=1"]
        for index in (1, 2):
            done = predict(
                *given, f"output.dir={tmp_path / str(index)}", f"predict.shard={index}/2", environment=environment
            )
            assert done.returncode == 0, done.stderr
        stored = open_store().find("masks", detail=True)
        (tmp_path / "all").mkdir()
        assert merge_shards([tmp_path / "1", tmp_path / "2"], tmp_path / "all").statuses["done"] == 3
        assert predict(*given, f"output.dir={tmp_path / 'all'}", environment=environment).returncode == 0
        assert len(stored) == 6
        assert open_store().find("masks", detail=True) == stored  # the run over all files has made no mask again
    assert results(tmp_path / "all") == {}


@pytest.mark.slow
def test_shards_of_a_manifest_are_one_walk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for index in range(4):
        write_dicom(tmp_path / f"{index}.dcm", phantom(40, 32), SOPInstanceUID=f"1.2.{index}")
    (tmp_path / "list.csv").write_text("path\n" + "".join(f"{index}.dcm\n" for index in range(4)))
    given = [f"model={write_model(tmp_path / 'model.pt')}", f"input.dir={tmp_path / 'list.csv'}", "predict.workers=1"]
    folders = [tmp_path / "one", tmp_path / "two"]
    for index, folder in enumerate(folders, 1):
        done = predict(*given, "output.formats=[png]", f"output.dir={folder}", f"predict.shard={index}/2")
        assert done.returncode == 0, done.stderr
    (tmp_path / "all").mkdir()
    assert merge_shards(folders, tmp_path / "all").statuses["done"] == 4
    assert "has changed" not in caplog.text
    assert [row["path"] for row in rows(tmp_path / "all")] == [f"{index}.dcm" for index in range(4)]
