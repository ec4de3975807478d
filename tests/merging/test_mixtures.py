import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medseg.folder.source import Shard
from medseg.merging.mixtures import list_mixtures
from medseg.merging.records import RecordTable
from medseg.merging.shard import ShardFolder, read_shard
from tests.merging.conftest import Predicted


@pytest.fixture
def pair(predicted: Predicted) -> list[ShardFolder]:
    with RecordTable() as records:
        return [read_shard(each, records) for each in predicted.shards]


def change(shard: ShardFolder, keys: str, value: Any) -> ShardFolder:
    summary = json.loads(json.dumps(shard.summary))
    *sections, last = keys.split(".")
    place = summary
    for name in sections:
        place = place[name]
    place[last] = value
    return replace(shard, summary=summary)


def test_the_shards_of_one_folder_fit(pair: list[ShardFolder]) -> None:
    assert list_mixtures(pair) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backend": "openvino/cpu/int8"}, "backend is not the same: {backend} in one; openvino/cpu/int8 in two. Set"),
        (
            {"root": "other"},
            "input.dir is not the same: {input} in one; {input} in two. Give",
        ),
        (
            {"shard": Shard(2, 3)},
            "n of predict.shard=i/n is not the same: 2 in one; 3 in two. Use one n",
        ),
        ({"shard": Shard(1, 2)}, "not among the inputs: shard 2/2. Name its folder, or run medseg predict with "),
        ({"shard": Shard(1, 2)}, "shard 1/2 is there 2 times, in one, two. Name one of these folders"),
        (
            {"key": "other"},
            "settings key is not the same: {key} in one; other in two. Run all",
        ),
    ],
)
def test_what_differs_is_told_with_the_folders_and_a_remedy(
    pair: list[ShardFolder], changes: Mapping[str, Any], told: str
) -> None:
    one, two = replace(pair[0], folder=Path("one")), replace(pair[1], folder=Path("two"), **changes)
    told = told.format(input=one.summary["config"]["input"]["dir"], key=one.key, backend=one.backend)
    assert any(problem.startswith(told) for problem in list_mixtures([one, two])), list_mixtures([one, two])


def test_all_settings_that_differ_are_told(pair: list[ShardFolder]) -> None:
    one, two = pair
    for keys, value in (
        ("model", "f" * 16),
        ("config.predict.threshold", 0.4),
        ("config.report.paths", "hashed"),
        ("config.folder.results", "s3://a/b"),
    ):
        two = change(two, keys, value)
    two = change(two, "config.predict.workers", 7)  # decides nothing
    assert [problem.partition(" is not")[0] for problem in list_mixtures([one, two])] == [
        "model",
        "folder.results",
        "predict.threshold",
        "report.paths",
    ]


def test_many_missing_shards_are_counted(pair: list[ShardFolder]) -> None:
    (told,) = list_mixtures([replace(pair[0], shard=Shard(1, 100))])
    assert told.startswith("not among the inputs: shard 2/100, 3/100, 4/100, 5/100, 6/100 and 94 more. Name its folder")
