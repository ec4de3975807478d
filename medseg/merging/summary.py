"""The summary of joined shards."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medseg.atomic import write_text
from medseg.folder.progress import Tally
from medseg.folder.receipt import Folds
from medseg.folder.sink import FolderSink
from medseg.merging.shard import ShardFolder
from medseg.output.report import hash_path
from medseg.receipt.receipt import RECEIPT, Receipt

_logger = logging.getLogger(__name__)


def write_summary(folder: Path, shards: Sequence[ShardFolder], tally: Tally, folds: Mapping[int, Folds]) -> None:
    """Write `summary.json` as one run would have. It comes last: with it, everything else is there.

    Times are sums over the shards. What each shard ran on is added. Raises `StorageError`.
    """
    first = shards[0].summary
    sums = {name: sum(each.summary[name] for each in shards) for name in ("predicted", "seconds")}
    seconds = max(sums["seconds"], 1e-3)
    summary = {name: value for name, value in first.items() if name not in ("shard", RECEIPT)} | {
        "files": tally.statuses.total(),
        "status": dict(sorted(tally.statuses.items())),
        "reasons": dict(sorted(tally.reasons.items())),
        "config": _unite_settings(first["config"], folder),
        "predicted": sums["predicted"],
        "seconds": round(sums["seconds"], 3),
        "images_per_second": round(sums["predicted"] / seconds, 3),
        "shares": {
            name: round(sum(each.summary["shares"][name] * each.summary["seconds"] for each in shards) / seconds, 3)
            for name in first["shares"]
        },
        "shards": [_describe(each, shards[0]) for each in shards],
        RECEIPT: _unite_receipts(shards, folds).to_json(),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")


def _unite_settings(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    place = str(folder)
    if settings["report"]["paths"] == "hashed":
        place = hash_path(os.fsencode(place))
    own = {"predict": {**settings["predict"], "shard": None}, "output": {**settings["output"], "dir": place}}
    return {**settings, **own}


def _describe(shard: ShardFolder, first: ShardFolder) -> dict[str, Any]:
    """What `shards` of the summary says of one: also its code and environment, if they are not those of the first."""
    own, usual = shard.receipt.to_json(), first.receipt.to_json()
    differing = {name: own[name] for name in ("code", "environment") if own[name] != usual[name]}
    return {name: shard.summary[name] for name in ("shard", "predicted", "seconds")} | differing


def _unite_receipts(shards: Sequence[ShardFolder], folds: Mapping[int, Folds]) -> Receipt:
    """The receipt of all shards. It has code and environment of the first one; others are named in a warning."""
    first = shards[0]
    whole = Folds(FolderSink(first.folder))
    for each in shards:
        whole.join(folds[each.shard.index])
        if _describe(each, first).keys() & {"code", "environment"}:
            _logger.warning(
                "shard %s ran with another code or environment than shard %s. The receipt names that of shard %s; "
                "summary.json has both",
                *(each.shard, first.shard, first.shard),
            )
    return replace(first.receipt, shard=None, data=whole.inputs.digest(), results=whole.results.digest())
