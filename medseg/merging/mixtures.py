"""Reasons why shards cannot be joined into one result."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from medseg.folder.receipt import list_deciding
from medseg.folder.source import Shard
from medseg.merging.shard import ShardFolder

_SHOWN = 5  # shards or folders
_ONE_BACKEND = "Set predict.device, predict.backend and predict.precision, and run all shards again with them"


def list_mixtures(shards: Sequence[ShardFolder]) -> list[str]:
    """Each reason, with the folders and a remedy: shards that are missing or there twice, or that differ in anything
    that decides the results.
    """
    inputs = [each.summary["config"]["input"]["dir"] for each in shards]
    models = [each.summary["model"] for each in shards]
    problems = [
        *_find_missing(shards),
        *_find_recurring(shards),
        *_compare(shards, "input.dir", [each.root for each in shards], "Give all the same absolute path", inputs),
        *_compare(shards, "model", models, "Run all shards with one model"),
        *_compare(shards, "backend", [each.backend for each in shards], _ONE_BACKEND),
        *_compare(shards, "folder.results", [each.results for each in shards], "Run all shards with one value"),
        *_compare_settings(shards),
    ]
    remedy = "Run all shards with one version of medseg"
    return problems or [*_compare(shards, "settings key", [each.key for each in shards], remedy)]


def _find_missing(shards: Sequence[ShardFolder]) -> Iterator[str]:
    number, *others = {each.shard.number for each in shards}
    if others:
        numbers = [each.shard.number for each in shards]
        yield from _compare(shards, "n of predict.shard=i/n", numbers, "Use one n for all shards")
        return
    there = {each.shard.index for each in shards}
    missing = [str(Shard(index, number)) for index in range(1, number + 1) if index not in there]
    if missing:
        remedy = f"Name its folder, or run medseg predict with predict.shard={missing[0]}"
        yield f"not among the inputs: shard {_list_some(missing)}. {remedy}"


def _find_recurring(shards: Sequence[ShardFolder]) -> Iterator[str]:
    folders: dict[Shard, list[str]] = defaultdict(list)
    for each in shards:
        folders[each.shard].append(str(each.folder))
    for shard, found in folders.items():
        if len(found) > 1:
            yield f"shard {shard} is there {len(found)} times, in {_list_some(found)}. Name one of these folders"


def _compare_settings(shards: Sequence[ShardFolder]) -> Iterator[str]:
    settings = [list_deciding(each.summary["config"]) for each in shards]
    for name in sorted(set().union(*settings)):
        values = [json.dumps(own.get(name)) for own in settings]
        yield from _compare(shards, name, values, "Run all shards with one value")


def _compare(
    shards: Sequence[ShardFolder], what: str, values: Sequence[Any], remedy: str, shown: Sequence[Any] = ()
) -> Iterator[str]:
    """The problem that the values of the shards are not the same, if they are not. `shown` are texts for them."""
    folders: dict[Any, list[str]] = defaultdict(list)
    texts = dict(zip(values, shown or values, strict=True))
    for each, value in zip(shards, values, strict=True):
        folders[value].append(str(each.folder))
    if len(folders) > 1:
        listed = "; ".join(f"{texts[value]} in {_list_some(found)}" for value, found in folders.items())
        yield f"{what} is not the same: {listed}. {remedy}"


def _list_some(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return f"{', '.join(texts[:_SHOWN])} and {more} more" if more > 0 else ", ".join(texts)
