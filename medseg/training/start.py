"""The model that a training starts from, in place of random weights (`train.init`)."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from medseg.data.loaders import CachedCases
from medseg.errors import CheckpointError, DataError
from medseg.inference.models import LoadedModel, load_models
from medseg.model.checkpoint import ModelCard, list_differences, load_checkpoint, save_checkpoint
from medseg.model.unet import UNet
from medseg.training.config import AUTO
from medseg.training.recipe import Recipe
from medseg.training.resume import Resumed

_logger = logging.getLogger(__name__)
_ALIKE = ("network", "model", "reading")
_FREE = "model.dropout"  # a training may change it: it has no weights
_SHIPPED = Path(__file__).with_name("start.pt")
"""The start weights of medseg. They have seen phantoms only; configs/start_weights.yaml makes them."""


def find_start(recipe: Recipe) -> LoadedModel | None:
    """The model that `train.init` names; None without one.

    auto: the start weights of medseg; None if they do not fit the network of the recipe. Raises `CheckpointError` if
    there is no such model, or if it is an ensemble.
    """
    address = recipe.train.init
    if address is None:
        return None
    if address == AUTO:
        return _find_shipped(recipe)
    try:
        model = load_models((address,), recipe.tracking)
    except CheckpointError as error:
        raise CheckpointError(f"train.init: {error}") from error
    if len(model.networks) > 1:
        raise CheckpointError(f"train.init: {address}: is an ensemble; name one of its models")
    _check_start(address, _compare(model.card, recipe, ("model",)))
    return model


def take_over(recipe: Recipe, start: LoadedModel | Resumed | None) -> Recipe:
    """The recipe with the preprocessing of the model that the training starts from, or has started from."""
    if start is None or recipe.train.init in (None, AUTO) or start.card.preprocess == recipe.preprocess:
        return recipe
    for key, (_, taken) in list_differences(recipe, start.card, ("preprocess",)).items():
        _logger.info("%s: %s, as in the model of train.init", key, taken)
    return recipe.model_copy(update={"preprocess": start.card.preprocess})


def join_cards(card: ModelCard, start: LoadedModel | None, address: str | None) -> ModelCard:
    """The card of a training that starts from a model: it names its origin, and counts the origin's cases as seen."""
    if start is None:
        return card
    if address != AUTO:
        _check_start(address, _compare(start.card, card, _ALIKE))
    before = {*start.card.train_digests, *start.card.validation_digests}
    train = {*card.train_digests, *before} - set(card.validation_digests)
    return card.model_copy(
        update={
            "origin": start.digest,
            "origin_digests": tuple(sorted(before)),
            "train_digests": tuple(sorted(train)),
        }
    )


def find_unseen(test: CachedCases, card: ModelCard) -> list[int]:
    """The indices of the test cases that the model of `train.init` has not seen; the others' scores would be too good.

    Raises `DataError` if there are only others.
    """
    before = set(card.origin_digests)
    unseen = [index for index, facts in enumerate(test.facts) if facts.digest not in before]
    if len(test) and not unseen:
        raise DataError(
            "the model of train.init has seen all test cases, so they cannot tell how good the new model is; name "
            "other test cases in a manifest (column split), or choose another seed"
        )
    if seen := len(test) - len(unseen):
        _logger.warning(
            "%d of %d test cases are left out of the test scores: the model of train.init has seen them",
            seen,
            len(test),
        )
    return unseen


def _find_shipped(recipe: Recipe) -> LoadedModel | None:
    """The start weights of medseg, if they fit the network of the recipe."""
    model = load_models((str(_SHIPPED),), recipe.tracking)
    differences = _compare(model.card, recipe, ("model",))
    if recipe.data.color == "rgb":
        differences.append("they are for gray images, but data.color is rgb here")
    if not differences:
        return model
    _logger.info("starting from random weights: medseg's start weights do not fit, since %s", "; ".join(differences))
    return None


def _check_start(address: str | None, differences: Sequence[str]) -> None:
    if differences:
        raise CheckpointError(f"train.init: {address}: cannot be the start of this training: {'; '.join(differences)}")


def _compare(start: ModelCard, other: ModelCard | Recipe, sections: Sequence[str]) -> list[str]:
    """The differences between a card and another card, or a recipe, in these sections, as sentences."""
    differing = list_differences(start, other, sections)
    return [f"{key} is {there} there, but {here} here" for key, (there, here) in differing.items() if key != _FREE]


@torch.no_grad()
def copy_weights(network: UNet, classes: tuple[str, ...], start: LoadedModel) -> None:
    """Give `network` the weights of `start`. Classes that `start` does not have keep their random last layer."""
    (source,) = start.networks
    last = {name: value for name, value in network.state_dict().items() if name.startswith("out.")}
    given = {name: value for name, value in source.state_dict().items() if not name.startswith("out.")}
    network.load_state_dict(given | last)
    known, square = start.card.classes, network.config.patch**2
    for index, name in enumerate(classes):
        if name in known:
            for own, other in zip(network.out.parameters(), source.out.parameters(), strict=True):
                at = known.index(name)
                own[index * square : (index + 1) * square] = other[at * square : (at + 1) * square]
    new = [name for name in classes if name not in known]
    _logger.info(
        "starting from the weights of model %s%s", start.digest, f"; new classes: {', '.join(new)}" if new else ""
    )


def ship(path: Path) -> None:
    """Make the model file at `path` the start weights of medseg: in bfloat16, and without its cases.

    The cases are phantoms, which nobody evaluates a model on.
    """
    card, content = load_checkpoint(path)
    weights = {n: v.bfloat16() if v.is_floating_point() else v for n, v in content["weights"].items()}
    empty = {"train_digests": (), "validation_digests": (), "origin_digests": (), "run_id": None}
    _SHIPPED.unlink(missing_ok=True)  # a model file that is replaced would stay beside it
    save_checkpoint(_SHIPPED, card.model_copy(update=empty), weights)
