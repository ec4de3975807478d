"""The receipt of a training: digests of its cases, split, settings, weights and masks."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from medseg.data.loaders import CachedSplits, CaseFacts
from medseg.data.splits import Splits
from medseg.hardware.device import Hardware
from medseg.inference.backends import build_training_backend
from medseg.inference.models import digest_networks, load_models
from medseg.receipt.digests import Fold, digest_files, digest_values
from medseg.receipt.receipt import Receipt, build_receipt
from medseg.training.recipe import Recipe, list_deciding

PATHS = ("data.root", "train.init")
"""Settings that name places. The receipt has the digest of the data and of the start weights instead."""


def build_training_receipt(
    recipe: Recipe, splits: Splits, cached: CachedSplits, hardware: Hardware, folder: Path
) -> Receipt:
    """The receipt of the finished training in `folder`. Its batch size must be set."""
    model = load_models([str(folder / "best.pt")], recipe.tracking)
    masks = sorted((folder / "masks").rglob("*.png")) if recipe.output.masks else []
    return build_receipt(
        "training",
        configuration=digest_recipe(recipe),
        backend=build_training_backend(hardware).name,
        data=digest_cases([facts for _, part in cached.items() for facts in part.facts], splits.classes),
        split=digest_split(splits),
        weights=digest_networks(model),
        origin=model.card.origin,
        results=digest_files(folder, masks) if masks else None,
    )


def digest_recipe(recipe: Recipe) -> str:
    """The digest of the settings that decide the result of a training, without the places of files."""
    return digest_values(list_deciding(recipe), PATHS)


def digest_cases(cases: Iterable[CaseFacts], classes: Sequence[str]) -> str:
    """The digest of the images and masks of all cases, as they were read, in any order, and of the classes."""
    whole = Fold(facts.digest + facts.label_digest for facts in cases).digest()
    return hashlib.sha256("\n".join([whole, *classes]).encode()).hexdigest()


def digest_split(splits: Splits) -> str:
    """The digest of the names of all cases, each with its set, in any order."""
    return Fold(f"{name}/{case.id}" for name, cases in splits.items() for case in cases).digest()
