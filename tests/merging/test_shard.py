import json
import shutil
from pathlib import Path

import pytest

from medseg.commands import merge, verify
from medseg.config import build_config
from medseg.errors import ConfigError
from medseg.folder.archives import close_archive
from medseg.merging.records import RecordTable
from medseg.merging.shard import read_shard
from tests.merging.conftest import Predicted
from tests.support.prediction_command import contents, predict, rows


def test_a_shard_says_which_it_is(predicted: Predicted) -> None:
    for index, folder in enumerate(predicted.shards, start=1):
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["shard"] == summary["receipt"]["shard"] == summary["config"]["predict"]["shard"] == f"{index}/2"
        assert {row["shard"] for row in rows(folder)} == {f"{index} of 2"}
    whole = json.loads((predicted.plain / "summary.json").read_text())
    assert "shard" not in whole
    assert "shard" not in whole["receipt"]
    assert not {"shard", "position"} & rows(predicted.plain)[0].keys()


def test_each_file_is_in_one_shard_and_an_archive_is_in_one_with_all_its_files(predicted: Predicted) -> None:
    one, two = ([row["path"] for row in rows(folder)] for folder in predicted.shards)
    assert sorted(one + two) == sorted(row["path"] for row in rows(predicted.plain))
    assert one
    assert two
    packed = [[path for path in paths if path.startswith("a.zip/")] for paths in (one, two)]
    assert sorted(map(len, packed)) == [0, 3]


def test_a_second_run_of_a_shard_does_nothing(predicted: Predicted) -> None:
    before = contents(predicted.shards[0])
    done = predict(*predicted.settings, f"output.dir={predicted.shards[0]}", "predict.shard=1/2")
    assert "; 0 predicted now" in done.stdout
    assert contents(predicted.shards[0]) == before


@pytest.mark.parametrize(
    ("held", "asked", "told"),
    [
        ("one", ("predict.shard=2/2",), "has the results of shard 1/2, but this run is for shard 2/2. Choose another"),
        ("one", ("predict.shard=1/3",), "has the results of shard 1/2, but this run is for shard 1/3. Choose another"),
        ("one", (), "has the results of shard 1/2, but this run is for all files. Choose another output.dir"),
        (
            "plain",
            ("predict.shard=1/2",),
            "has the results of all files, but this run is for shard 1/2. Choose",
        ),
    ],
)
def test_a_folder_takes_no_other_shard(predicted: Predicted, held: str, asked: tuple[str, ...], told: str) -> None:
    folder = predicted.plain.parent / held
    before = contents(folder)
    done = predict(*predicted.settings, f"output.dir={folder}", *asked)
    assert done.returncode == 2
    assert f"error: output.dir: {folder}: {told}" in done.stderr
    assert contents(folder) == before


def test_a_folder_takes_no_shard_of_another_input(predicted: Predicted, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    model, _, *rest = predicted.settings
    shard = (f"input.dir={tmp_path / 'other'}", f"output.dir={predicted.shards[0]}", "predict.shard=1/2")
    done = predict(model, *rest, *shard)
    assert "has the results of shard 1/2 of another input.dir, but this run is for shard 1/2" in done.stderr


@pytest.mark.parametrize("shard", ["5/4", "0/4", "1/0", "1", "a/b", "1/2/3", "-1/4", "1.5/4", "01/4", "1/4 "])
def test_what_is_no_shard_is_refused(predicted: Predicted, tmp_path: Path, shard: str) -> None:
    done = predict(*predicted.settings, f"output.dir={tmp_path / 'out'}", f"predict.shard={shard}")
    assert done.returncode == 2
    assert "predict.shard: " in done.stderr
    assert "must be i/n with i from 1 to n, such as 1/4 for the first of four shards" in done.stderr
    assert not (tmp_path / "out").exists()


def test_receipts_of_a_shard_and_of_the_whole_are_checked(predicted: Predicted, tmp_path: Path) -> None:
    config = build_config(merge.MergeConfig, [{"inputs": list(predicted.shards), "output.dir": tmp_path}])
    assert merge.run(config).statuses == {"done": 10, "rejected": 2, "skipped": 1}
    for folder in (predicted.shards[1], tmp_path):
        items = verify.run(build_config(verify.VerifyConfig, [str(folder)]))
        assert {item.name: item.verdict for item in items} == dict.fromkeys(
            ("configuration", "images", "weights", "results", "code", "environment"), "same"
        )
    close_archive()


def test_the_command_prints_counts_and_the_report(
    predicted: Predicted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge.main([f"inputs=[{predicted.shards[1]},{predicted.shards[0]}]", f"output.dir={tmp_path}"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["10 done, 1 skipped, 2 rejected in 2 shards", "report: report.csv in output.dir"]


@pytest.mark.parametrize("damage", ["no summary", "no journal", "other journal", "no claim"])
def test_a_folder_without_the_results_of_a_shard_is_refused(predicted: Predicted, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(predicted.shards[0], tmp_path / "one")
    journal = folder / "journal.jsonl"
    if damage == "no summary":
        (folder / "summary.json").unlink()
    elif damage == "no journal":
        journal.unlink()
    elif damage == "other journal":
        shutil.copy(predicted.shards[1] / "journal.jsonl", journal)
    else:
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(line for line in lines if '"root"' not in line))
    with RecordTable() as records, pytest.raises(ConfigError, match="one: has no results of a shard, or they are dam"):
        read_shard(folder, records)
