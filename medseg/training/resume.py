"""The checkpoint to resume a training from. It is found before the cases are read, and compared with them later."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from medseg.errors import CheckpointError
from medseg.model.checkpoint import ModelCard, list_differences, load_checkpoint, previous_path, save_checkpoint
from medseg.training.config import AUTO, TrainingConfig

_logger = logging.getLogger(__name__)
ANOTHER_RULE = "splits are now consecutive blocks of the patients in hash order, not a threshold on the hash"


@dataclass(frozen=True)
class Resumed:
    """The content of a checkpoint."""

    path: Path
    card: ModelCard
    weights: Mapping[str, Tensor] = field(repr=False)
    """The averaged weights."""
    training: Mapping[str, Any] = field(repr=False)
    """What `Saving.state` returned."""


def find_resumed(train: TrainingConfig, folder: Path) -> Resumed | None:
    """The checkpoint that `train.resume` names; None to start a new training.

    A damaged file is replaced by its previous version. Raises `CheckpointError` if there is no checkpoint, or if
    `folder` has that of another training.
    """
    if train.resume is False:
        return None
    path = folder / "last.pt" if train.resume is True else train.resume
    if _is_elsewhere(path, folder) and (folder / "last.pt").exists():
        raise CheckpointError(f"{folder}: contains results of another run, not of {path}; choose another output.dir")
    try:
        card, content = load_checkpoint(path)
    except CheckpointError as error:
        previous = previous_path(path)
        if not previous.is_file():
            raise CheckpointError(f"{error}; there is nothing to resume from") from error
        _logger.warning("%s; resuming from %s", error, previous)
        path = previous
        card, content = load_checkpoint(path)
    if "training" not in content:
        raise CheckpointError(f"{path}: contains a model but no training state; resume from last.pt instead")
    return Resumed(path, card, content["weights"], content["training"])


def take_up(resumed: Resumed, card: ModelCard, folder: Path, address: str | None = None) -> ModelCard:
    """The card of the resumed training: `card`, which describes the settings and cases of now, with its start model.

    `address` is `train.init`. The start model itself is not needed; it may be gone or changed. If the checkpoint is in
    another folder, the `best.pt` beside it is copied into `folder`. Raises `CheckpointError` that lists the differences
    if architecture, classes, preprocessing or cases are not those of the checkpoint, or if the `best.pt` is of another
    training.
    """
    path, found = resumed.path, resumed.card
    if address not in (None, AUTO) and found.origin is not None and not found.origin_digests:  # of an earlier version
        before = set(found.train_digests) - set(card.train_digests)
        found = found.model_copy(update={"origin_digests": tuple(sorted(before))})
    if differences := _compare(found, card, address):
        raise CheckpointError(f"{path}: cannot be resumed with this configuration: {'; '.join(differences)}")
    if resumed.training["best"]:
        best_card, best = load_checkpoint(path.with_name("best.pt"))
        if best_card.run_id != found.run_id:
            raise CheckpointError(f"{path.with_name('best.pt')} and {path} belong to different runs")
        if _is_elsewhere(path, folder):
            save_checkpoint(folder / "best.pt", best_card, best["weights"])
    _logger.info("resuming from %s, iteration %s", path, resumed.training["iteration"])
    kept = ("train_digests", "origin", "origin_digests")
    return card.model_copy(update={name: getattr(found, name) for name in kept})


def _is_elsewhere(path: Path, folder: Path) -> bool:
    return path.parent.resolve() != folder.resolve()


def _compare(found: ModelCard, wanted: ModelCard, address: str | None) -> list[str]:
    """The differences that forbid to resume, as sentences."""
    differing = list_differences(found, wanted, ("classes", "network", "model", "preprocess", "reading"))
    listed = [f"{key} is {before} in the checkpoint, but {now} now" for key, (before, now) in differing.items()]
    if address != AUTO and (address is None) != (found.origin is None):
        begun = "random weights" if found.origin is None else f"the weights of model {found.origin}"
        listed.append(f"train.init is {address or 'null'} now, but the training in the checkpoint began with {begun}")
    alike = len(listed)
    validated, now = set(found.validation_digests), set(wanted.validation_digests)
    cases = {
        "training": (set(found.train_digests) - validated, {*wanted.train_digests, *found.origin_digests} - now),
        "validation": (validated, now),
    }
    for kind, (before, after) in cases.items():
        if other := before ^ after:
            listed.append(
                f"{len(other)} {kind} cases are only in the checkpoint or only in the current data set and split"
            )
    if len(listed) > alike and wanted.split not in (None, found.split):
        listed.append(
            f"the split of the checkpoint was formed with the method of an earlier version of medseg ({ANOTHER_RULE}); "
            "start again with train.resume=false"
        )
    return listed
