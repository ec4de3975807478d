"""Loading of models: a file, several files as an ensemble, a folder with model files, or an MLflow address."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medseg.config import flatten
from medseg.errors import CheckpointError, ConfigError
from medseg.inference.config import ModelPredictConfig
from medseg.model.checkpoint import (
    Accepts,
    Extent,
    ModelCard,
    QuantizedNetwork,
    Range,
    build_network,
    check_components,
    list_differences,
    load_checkpoint,
    read_quantized,
)
from medseg.model.config import InferenceConfig
from medseg.model.unet import UNet
from medseg.receipt.digests import digest_values, digest_weights
from medseg.tracking.config import StoreConfig

_DECIDING = {
    *("classes", "network", "model", "preprocess", "inference", "reading", "accepts"),
    *("thresholds", "ranges", "extent"),
}
_MLFLOW = ("runs:/", "models:/")


@dataclass(frozen=True)
class LoadedModel:
    """Networks that share one card."""

    card: ModelCard
    networks: tuple[UNet, ...]
    quantized: tuple[QuantizedNetwork | None, ...]
    """Each network in int8; None if its file does not have it."""
    digest: str
    """16 hex digits of the SHA-256 of the model file; for an ensemble, of the SHA-256 values of all its files."""


def load_models(
    addresses: Sequence[str], tracking: StoreConfig, predict: ModelPredictConfig | None = None
) -> LoadedModel:
    """The model at `addresses`, on the CPU, adjusted by `adjust_model`. Several files are an ensemble.

    The order of the addresses does not matter. Raises `CheckpointError` if a file is missing or damaged, or if its
    classes, preprocessing, reading or inference settings differ from those of the other files. Settings of `predict`
    replace those of all files.
    """
    loaded = {_digest(path): (path, *_load(path)) for path in _find(addresses, tracking)}
    digests = sorted(loaded)
    paths, cards, networks, quantized = zip(*(loaded[digest] for digest in digests), strict=True)
    cards = tuple(_settle(card, predict) for card in cards)
    for path, card in zip(paths, cards, strict=True):
        _check_alike(path, card, paths[0], cards[0])
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    model = LoadedModel(_merge(cards), networks, quantized, digest[:16])
    return model if predict is None else adjust_model(model, predict)


def _load(path: Path) -> tuple[ModelCard, UNet, QuantizedNetwork | None]:
    card, content = load_checkpoint(path)
    return card, build_network(path, card, content), read_quantized(path, content)


def digest_networks(model: LoadedModel) -> str:
    """The digest of the weights of all networks, int8 included, and of what the card decides. Run IDs do not count."""
    weights = digest_weights(
        [
            network.state_dict() | ({} if int8 is None else {"int8.graph": int8.graph, "int8.weights": int8.weights})
            for network, int8 in zip(model.networks, model.quantized, strict=True)
        ]
    )
    return digest_values({"weights": weights, **model.card.model_dump(mode="json", include=_DECIDING)})


def adjust_model(model: LoadedModel, predict: ModelPredictConfig) -> LoadedModel:
    """The model with the inference settings of its card replaced by those of `predict` that are not null.

    Raises `ConfigError` for a class that the model does not have, and for a zoom that it cannot do.
    """
    if predict.zoom and model.card.extent is None:
        raise ConfigError(
            "predict.zoom: the model file does not state the size of the training masks. Set predict.zoom=false, or "
            "train the model again"
        )
    card = _settle(model.card, predict)
    check_components(card.inference, card.classes)
    return replace(model, card=card)


def _settle(card: ModelCard, predict: ModelPredictConfig | None) -> ModelCard:
    given = {
        name: value for name in InferenceConfig.model_fields if (value := getattr(predict, name, None)) is not None
    }
    return card.model_copy(update={"inference": card.inference.model_copy(update=given)})


def is_in_mlflow(address: str) -> bool:
    """Whether a model is named by its MLflow address."""
    return address.startswith(_MLFLOW)


def _find(addresses: Sequence[str], tracking: StoreConfig) -> list[Path]:
    """The model files at the addresses. Raises `CheckpointError`."""
    found: list[Path] = []
    for address in addresses:
        if is_in_mlflow(address):
            from medseg.tracking.logged_model import download_model_checkpoint

            found.append(download_model_checkpoint(address, tracking))
        elif Path(address).is_dir():
            folds = sorted(Path(address).glob("fold*/best.pt")) or list(Path(address).glob("best.pt"))
            if not folds:
                raise CheckpointError(f"{address}: contains neither best.pt nor fold<k>/best.pt")
            _check_finished(Path(address), folds)
            found += folds
        elif Path(address).is_file():
            found.append(Path(address))
        else:
            raise CheckpointError(f"{address}: no such file or folder")
    return found


def _check_finished(folder: Path, models: Sequence[Path]) -> None:
    """Raise `CheckpointError` if `folder` holds a cross-validation that is still running or was stopped."""
    written = {path.name for path in folder.iterdir()}
    if models[0].parent != folder and "config.yaml" in written and "summary.json" not in written:
        raise CheckpointError(
            f"{folder}: this cross-validation is not finished; run it again to resume it, or list the fold models"
        )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def _check_alike(path: Path, card: ModelCard, first_path: Path, first: ModelCard) -> None:
    if differing := list_differences(card, first, ("classes", "preprocess", "reading", "inference")):
        listed = "; ".join(f"{key} is {here}, not {there}" for key, (here, there) in differing.items())
        free = all(key.startswith("predict.") for key in differing)
        remedy = f". Give {' and '.join(differing)} in the command; then it is the same for all models" if free else ""
        raise CheckpointError(f"{path}: cannot be in an ensemble with {first_path}: {listed}{remedy}")


def _merge(cards: Sequence[ModelCard]) -> ModelCard:
    """The card of an ensemble.

    It accepts only input that every model accepts. Ranges are the widest ones, thresholds and the usual extent are
    means. Training cases, validation cases and orientations are those of all models together. There is no run ID.
    """
    first = cards[0]
    if len(cards) == 1:
        return first
    accepts = Accepts(
        **{name: _common([getattr(card.accepts, name) for card in cards], name) for name in flatten(first.accepts)}
    )
    return first.model_copy(
        update={
            "accepts": accepts,
            "run_id": None,
            **{
                name: tuple(sorted({digest for card in cards for digest in getattr(card, name)}))
                for name in ("train_digests", "validation_digests")
            },
            "orientations": tuple(sorted({value for card in cards for value in card.orientations})),
            "thresholds": {
                name: sum(card.thresholds.get(name, 0.5) for card in cards) / len(cards) for name in first.classes
            },
            "ranges": {
                name: _widest([card.ranges[name] for card in cards if name in card.ranges])
                for name in first.classes
                if any(name in card.ranges for card in cards)
            },
            "extent": _join([card.extent for card in cards if card.extent is not None]),
        }
    )


def _common(lists: Sequence[tuple[str, ...]], name: str) -> tuple[str, ...]:
    """The values that are in all lists. An empty list stands for any value."""
    stated = [set(values) for values in lists if values]
    shared = set.intersection(*stated) if stated else set()
    if stated and not shared:
        raise CheckpointError(f"the models of the ensemble have no accepted {name} in common")
    return tuple(sorted(shared))


def _join(extents: Sequence[Extent]) -> Extent | None:
    if not extents:
        return None
    return Extent(
        smallest=min(extent.smallest for extent in extents), usual=sum(e.usual for e in extents) / len(extents)
    )


def _widest(ranges: Sequence[Range]) -> Range:
    known = [name for name in Range.model_fields if all(getattr(r, name) is not None for r in ranges)]
    return Range(
        **{name: (min(getattr(r, name)[0] for r in ranges), max(getattr(r, name)[1] for r in ranges)) for name in known}
    )
