"""The items of a training and of a cross-validation."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from medseg.data.case import CaseSet
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.layouts.archive import open_data
from medseg.data.loaders import cache_cases
from medseg.data.splits import split_by_patient
from medseg.data.synthetic import find_data
from medseg.errors import CheckpointError
from medseg.evaluation.folds import build_folds
from medseg.inference.models import digest_networks, load_models
from medseg.receipt.digests import Fold, digest_file, digest_files
from medseg.training.receipt import digest_cases, digest_recipe, digest_split
from medseg.training.recipe import Recipe
from medseg.training.start import find_start
from medseg.verification.item import Item, Missing, check_digest
from medseg.verification.proof import Proof, Recorded


def check_training(proof: Proof, recorded: Recorded) -> list[Item]:
    """The items of a training, but code and environment. Reads every case again."""
    receipt, folder, recipe = proof.receipt, proof.folder, recorded.build(Recipe)
    with _cases(recipe, recorded, folder) as (data, find, scratch):
        return [
            *check_digest("configuration", receipt.configuration, lambda: digest_recipe(recipe)),
            *check_digest("split", receipt.split, lambda: digest_split(split_by_patient(find(), recipe.split))),
            *check_digest("data", receipt.data, lambda: _digest_data(find(), data(), recipe, scratch)),
            *check_digest("start weights", receipt.origin, lambda: _digest_start(recipe)),
            *check_digest("weights", receipt.weights, lambda: _digest_model(folder / "best.pt", recipe)),
            *check_digest(
                "masks", receipt.results, lambda: digest_files(folder, sorted((folder / "masks").rglob("*.png")))
            ),
        ]


def check_folds(proof: Proof, recorded: Recorded) -> list[Item]:
    """The items of a cross-validation, but code and environment. Reads every case again."""
    receipt, folder, recipe = proof.receipt, proof.folder, recorded.build(Recipe)

    with _cases(recipe, recorded, folder) as (data, find, scratch):

        def digest_folds() -> str:
            return Fold(digest_split(fold.splits) for fold in build_folds(find(), recipe)).digest()

        return [
            *check_digest("configuration", receipt.configuration, lambda: digest_recipe(recipe)),
            *_require("split", receipt.split, digest_folds),
            *_require("data", receipt.data, lambda: _digest_data(find(), data(), recipe, scratch)),
            *check_digest("start weights", receipt.origin, lambda: _digest_start(recipe)),
            *check_digest("weights", receipt.weights, lambda: _digest_model(folder, recipe)),
            *check_digest("scores", receipt.results, lambda: digest_file(folder / "per_case.csv")),
        ]


@contextmanager
def _cases(
    recipe: Recipe, recorded: Recorded, folder: Path
) -> Iterator[tuple[Callable[[], DataConfig], Callable[[], CaseSet], Path]]:
    """Functions for the data set and its cases, each found once and only if asked for; and a folder for the block.

    Phantoms are read where the training wrote them; if they are gone, they are drawn again. An archive is unpacked for
    the block.
    """
    with TemporaryDirectory(prefix="medseg-verify-") as scratch, ExitStack() as opened:

        @cache
        def data() -> DataConfig:
            recorded.find_place()
            kept = next((p for p in (folder, folder.parent) if (p / recipe.phantom.kind / "images").is_dir()), None)
            if recipe.data.root is None and kept is not None:
                return recipe.data.model_copy(update={"root": kept / recipe.phantom.kind})
            return find_data(opened.enter_context(open_data(recipe.data)), recipe.phantom, Path(scratch))

        @cache
        def find() -> CaseSet:
            return find_cases(data())

        yield data, find, Path(scratch)


def _digest_data(found: CaseSet, data: DataConfig, recipe: Recipe, scratch: Path) -> str:
    findings = Findings(data.root)
    cached, _ = cache_cases(found.cases, found.classes, data, recipe.preprocess, scratch, findings)
    findings.check()
    return digest_cases(cached.facts, found.classes)


def _digest_start(recipe: Recipe) -> str:
    try:
        start = find_start(recipe)
    except CheckpointError as error:
        raise Missing(str(error)) from error
    return "random weights" if start is None else start.digest


def _digest_model(path: Path, recipe: Recipe) -> str:
    try:
        return digest_networks(load_models((str(path),), recipe.tracking))
    except CheckpointError as error:
        raise Missing(str(error)) from error


def _require(name: str, then: str | None, find: Callable[[], str]) -> list[Item]:
    """As `check_digest`, for an item that is missing only because an earlier version trained some folds."""
    if then is None:
        return [Item(name, "cannot be checked", "an earlier version of medseg trained some folds without a receipt")]
    return check_digest(name, then, find)
