"""The items of a prediction of a folder."""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from medseg.errors import RadiographError
from medseg.folder.examine import digest_input, identify_file
from medseg.folder.index import Place
from medseg.folder.journal import JOURNAL_NAME, Journal, read_latest
from medseg.folder.receipt import digest_prediction, name_result
from medseg.folder.record import name_entry
from medseg.folder.sink import FolderSink, Sink
from medseg.folder.source import Source
from medseg.folder.walk import Entry
from medseg.inference.config import FolderPredictConfig, InputConfig
from medseg.inference.models import digest_networks
from medseg.objects.places import find_sink, find_source
from medseg.output.writers import name_outputs
from medseg.receipt.digests import Fold
from medseg.tracking.config import StoreConfig
from medseg.verification.evaluation import find_model
from medseg.verification.item import Item, Missing, check_digest
from medseg.verification.proof import Proof, Recorded


def check_prediction(
    proof: Proof,
    recorded: Recorded,
    model: Sequence[str],
    predict: FolderPredictConfig,
    tracking: StoreConfig,
    limits: InputConfig,
) -> list[Item]:
    """The items of a prediction, but code and environment. Reads every input file and every result.

    Archives are listed in a process with these `limits`.
    """
    receipt, folder = proof.receipt, proof.folder

    def digest_results() -> str:
        sink = find_sink(folder, _find_url(recorded))
        return Fold(name_result(name, sink.digest(name)) for name in list_results(proof, sink=sink)).digest()

    def digest_inputs() -> str:
        root = recorded.find_place()
        assert root is not None  # a prediction has no synthetic data
        with TemporaryDirectory(prefix="medseg-verify-") as scratch:
            source = find_source(root, folder, limits, Path(scratch), predict.shard)
            return Fold(id for _, id in _list_ids(source)).digest()

    return [
        *check_digest("configuration", receipt.configuration, lambda: digest_prediction(recorded.settings)),
        *check_digest("images", receipt.data, digest_inputs),
        *check_digest("weights", receipt.weights, lambda: digest_networks(find_model(model, tracking, predict))),
        *check_digest("results", receipt.results, digest_results),
    ]


def list_results(proof: Proof, formats: Collection[str] | None = None, sink: Sink | None = None) -> Iterator[str]:
    """The results in `sink` that belong to the rows of the report, of these formats or all: paths below the folder.

    Without `sink`, they are in the folder. Raises `Missing` if the report cannot be read.
    """
    path, classes = proof.folder / "report.jsonl", tuple(proof.summary["classes"])
    sink = sink or FolderSink(proof.folder)
    try:
        with path.open(encoding="utf-8") as file:
            for row in map(json.loads, file):
                names = name_outputs(classes, str(row["id"])) if row["status"] == "done" else set()
                for name in sorted(names):
                    wanted = formats is None or name.partition("/")[0] in formats
                    if wanted and sink.size(name) >= 0:
                        yield name
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Missing(f"{path}: cannot be read, but it says which results belong to this prediction") from error


def _find_url(recorded: Recorded) -> str | None:
    """The URL of the results; None if they are in the folder. Raises `Missing` if the settings hide it."""
    url: str | None = recorded.settings.get("folder", {}).get("results")
    if url is not None and recorded.settings["report"]["paths"] == "hashed":
        raise Missing("report.paths=hashed hides the place of the masks")
    return url


def _list_ids(source: Source) -> Iterator[tuple[Entry, str]]:
    """Every file with its id, as the report has it."""
    for entry in source:
        if entry.status:
            yield entry, identify_file(entry.path)
            continue
        try:
            with source.open(entry.path) as file:
                yield entry, digest_input(file, entry.path)[0]
        except (OSError, RadiographError):
            yield entry, identify_file(entry.path)


def copy_journal(earlier: Path, target: Path, source: Source) -> None:
    """Write the journal of the prediction in `earlier` into the new folder `target`, for the files in `source`.

    They are recognized by their content, since they may have been moved. A prediction that finds the journal makes each
    result again, with the date of the first time, so that its bytes are the same.
    """
    target.mkdir(parents=True)
    path = earlier / JOURNAL_NAME
    if not path.is_file():
        return
    with Journal(target / JOURNAL_NAME) as journal, path.open("rb") as file:
        places: dict[str, Place] = {}
        for place, record in read_latest(path):
            if record.get("outputs"):
                places[str(record["id"])] = place
            elif "backend" in record:
                journal.keep_backend(str(record["backend"]))
        for entry, id in _list_ids(source):
            if id in places:
                start, length = places[id]
                record = json.loads(os.pread(file.fileno(), length, start))
                del record["path"]
                journal.append(name_entry(source, entry), record)
