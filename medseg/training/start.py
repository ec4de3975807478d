"""The model that a training starts from, in place of random weights (`train.init`)."""

import logging

import torch

from medseg.config import flatten
from medseg.errors import CheckpointError
from medseg.inference.models import LoadedModel, load_models
from medseg.model.checkpoint import ModelCard
from medseg.model.unet import UNet
from medseg.training.recipe import Recipe

_logger = logging.getLogger(__name__)
_ALIKE = ("network", "model", "reading")
_FREE = "model.dropout"  # a training may change it: it has no weights


def find_start(recipe: Recipe) -> LoadedModel | None:
    """The model that `train.init` names; None without one.

    Raises `CheckpointError` if there is no such model, if it is an ensemble, or if its architecture or its way of
    reading images differs from the recipe. The message lists the differences.
    """
    address = recipe.train.init
    if address is None:
        return None
    model = load_models((address,), recipe.tracking)
    if len(model.networks) > 1:
        raise CheckpointError(f"train.init: {address}: is an ensemble; name one of its models")
    return model


def take_over(recipe: Recipe, start: LoadedModel | None) -> Recipe:
    """The recipe with the preprocessing of the model that the training starts from."""
    if start is None or start.card.preprocess == recipe.preprocess:
        return recipe
    given, taken = flatten(recipe.preprocess), flatten(start.card.preprocess)
    for key in sorted(key for key in given.keys() | taken.keys() if given.get(key) != taken.get(key)):
        _logger.info("preprocess.%s: %s, as in the model of train.init", key, taken.get(key))
    return recipe.model_copy(update={"preprocess": start.card.preprocess})


def join_cards(card: ModelCard, start: LoadedModel | None, address: str | None) -> ModelCard:
    """The card of a training that starts from a model: it names its origin, and counts the origin's cases as seen."""
    if start is None:
        return card
    flat = [
        {k: v for k, v in flatten(one).items() if k.split(".")[0] in _ALIKE and k != _FREE}
        for one in (start.card, card)
    ]
    differences = [
        f"{key} is {flat[0].get(key)} there, but {flat[1].get(key)} here"
        for key in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(key) != flat[1].get(key)
    ]
    if differences:
        raise CheckpointError(f"train.init: {address}: cannot be the start of this training: {'; '.join(differences)}")
    seen = {*card.train_digests, *start.card.train_digests, *start.card.validation_digests}
    train = tuple(sorted(seen - set(card.validation_digests)))
    return card.model_copy(update={"origin": start.digest, "train_digests": train})


@torch.no_grad()
def copy_weights(network: UNet, classes: tuple[str, ...], start: LoadedModel) -> None:
    """Give `network` the weights of `start`. Classes that `start` does not have keep their random last layer."""
    (source,) = start.networks
    last = {name: value for name, value in network.state_dict().items() if name.startswith("out.")}
    given = {name: value for name, value in source.state_dict().items() if not name.startswith("out.")}
    network.load_state_dict(given | last)
    known = start.card.classes
    for index, name in enumerate(classes):
        if name in known:
            for own, other in zip(network.out.parameters(), source.out.parameters(), strict=True):
                own[index] = other[known.index(name)]
    new = [name for name in classes if name not in known]
    _logger.info("starting from model %s%s", start.digest, f"; new classes: {', '.join(new)}" if new else "")
