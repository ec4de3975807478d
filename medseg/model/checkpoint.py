"""Model files: the weights, the settings that prediction needs, and the training state to resume from.

A model file contains only numbers, strings and tensors. It is read with `weights_only=True`, so it cannot run code.
"""

import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, StringConstraints, ValidationError, model_validator
from torch import Tensor

from medseg.atomic import open_atomically
from medseg.config import Section
from medseg.config.text import show_value
from medseg.data.config import ClassName, Color, PreprocessConfig, rename_color
from medseg.errors import CheckpointError, ConfigError
from medseg.model.config import InferenceConfig, ModelConfig
from medseg.model.unet import UNet, build_unet
from medseg.notice import RESEARCH_USE

FORMAT = "medseg-model-1"

NETWORKS: Mapping[str, Callable[[ModelConfig, int, int], UNet]] = {"unet": build_unet}
"""Functions that build a network from its configuration, number of channels and number of classes, by the network name
on the model card."""


class Reading(Section):
    """How the model's radiographs are read."""

    presentation: Literal["stored", "voi"] = "stored"
    presentation_intent: tuple[str, ...] = ("FOR PRESENTATION",)
    color: Color = "grey"

    _rename = model_validator(mode="before")(rename_color)


Term = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True)]


class Accepts(Section):
    """The input that the model accepts, in capitals as in DICOM. An empty list accepts any value."""

    modalities: tuple[Term, ...] = ("CR", "DX")
    body_parts: tuple[Term, ...] = ()
    views: tuple[Term, ...] = ()


class Range(Section):
    """The smallest and the largest value of one class in the training set."""

    area: tuple[float, float]
    """Area of the mask, as a share of the network's input, padding included."""
    row: tuple[float, float]
    """Row of the center of gravity, from 0 (top) to 1 (bottom)."""
    column: tuple[float, float]
    """Column of the center of gravity, from 0 (left) to 1 (right)."""
    outline: tuple[float, float] | None = None
    """Length of the outline: `measure_outline` of the mask. None in older models."""


class Extent(Section):
    """How much of the network's input the masks of an image take: the longer side of the box around all of them."""

    smallest: float
    """The smallest share in the training set, from 0 to 1."""
    usual: float
    """The median."""


@dataclass(frozen=True)
class QuantizedNetwork:
    """A network with int8 convolutions, as the bytes of the two files of OpenVINO's intermediate representation."""

    graph: Tensor = field(repr=False)
    """XML, uint8 `(bytes,)`."""
    weights: Tensor = field(repr=False)
    """uint8 `(bytes,)`."""


class QuantizationLoss(Section):
    """Loss of accuracy in int8, measured on cases that the network was not trained on."""

    images: int
    """Number of training images used to measure the ranges of the activations."""
    cases: int
    """Number of cases used to measure the loss."""
    dice: dict[str, float]
    """By class: mean Dice in float32 minus mean Dice in int8, both against the reference."""
    worst: dict[str, float]
    """By class: the largest such difference of a single case."""
    ctr: float | None = None
    """Mean absolute difference of the cardiothoracic ratio. None without lungs and heart."""


class ModelCard(Section):
    """The description of a model in its model file: everything except the weights."""

    classes: tuple[ClassName, ...]
    network: Literal["unet"] = Field(default="unet", exclude_if=lambda name: name == "unet")
    """A name in `NETWORKS`. The default is not written to files."""
    model: ModelConfig
    preprocess: PreprocessConfig
    inference: InferenceConfig = InferenceConfig()
    reading: Reading = Reading()
    accepts: Accepts = Accepts()
    orientations: tuple[str, ...] = ()
    r"""PatientOrientation of the training images, such as `L\F`. Empty if the images had no such tag."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """The threshold of each class that gave the best Dice on the validation set; used by predict.threshold=best."""
    ranges: dict[str, Range] = Field(default_factory=dict)
    extent: Extent | None = Field(default=None, exclude_if=lambda value: value is None)
    """None in older models, and if no training image has masks of all classes."""
    train_digests: tuple[str, ...] = ()
    """SHA-256 of the pixels of each training case."""
    validation_digests: tuple[str, ...] = ()
    split: str | None = None
    """The rule that split the cases. None if a manifest gave the split, and in files older than this field."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Validation scores of these weights."""
    quantization: QuantizationLoss | None = None
    """Loss of accuracy in int8, if the file contains the int8 network."""
    origin: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """16 hex digits of the model whose weights the training started from."""
    origin_digests: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Of the cases that this model had seen; those that are not validated on are among `train_digests`, too."""
    run_id: str | None = None
    research_use: str = RESEARCH_USE

    def build_network(self) -> UNet:
        """The network that this card describes, with new random weights."""
        return NETWORKS[self.network](self.model, 3 if self.reading.color == "rgb" else 1, len(self.classes))


def list_settings(given: Section, sections: Sequence[str]) -> dict[str, object]:
    """Every setting of these sections by the key that users know; also those that have their default.

    A card names some sections otherwise: `reading` is a part of `data`, `inference` one of `predict`.
    """
    known, listed = {"reading": "data", "inference": "predict"}, dict[str, object]()
    for name in sections:
        section = getattr(given, name)
        items = section if isinstance(section, Section) else [("", section)]
        shown = known.get(name, name)
        listed |= {f"{shown}.{key}".rstrip("."): value for key, value in items}
    return listed


def list_differences(one: Section, other: Section, sections: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The settings of these sections that are not equal, by key, with both values as text."""
    first, second = (list_settings(each, sections) for each in (one, other))
    return {
        key: (show_value(value), show_value(second[key]))
        for key, value in sorted(first.items())
        if value != second[key]
    }


def check_components(inference: InferenceConfig, classes: Sequence[str]) -> None:
    """Raise `ConfigError` if `inference.components` names a class that is not in `classes`."""
    unknown = sorted(set(inference.components) - set(classes))
    if unknown:
        raise ConfigError(
            f"predict.components: {', '.join(unknown)}: not a class of the model. Its classes: {', '.join(classes)}"
        )


def save_checkpoint(
    path: Path,
    card: ModelCard,
    weights: Mapping[str, Tensor],
    training: Mapping[str, Any] | None = None,
    quantized: QuantizedNetwork | None = None,
) -> None:
    """Write a model file, whole or not at all. An existing file is kept as `<stem>.previous.pt`.

    `training` is the state to resume from, `quantized` the same network in int8. Raises `StorageError`.
    """
    content: dict[str, Any] = {"format": FORMAT, "card": card.model_dump(mode="json"), "weights": _plain(weights)}
    if training is not None:
        content["training"] = dict(training)
    if quantized is not None:
        content["int8"] = {"graph": quantized.graph, "weights": quantized.weights}
    with open_atomically(path, keep_previous=previous_path(path)) as file:
        torch.save(content, file)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> tuple[ModelCard, dict[str, Any]]:
    """The card and the whole content of a model file: `weights`, and `training` and `int8` if present.

    Raises `CheckpointError` with the file's path if it is missing, damaged or not a model file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(
                f"{path}: damaged ({damaged} has a wrong checksum); an earlier copy is {previous_path(path)}"
            )
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, zipfile.BadZipFile, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: damaged, or not a model file ({reason})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not {"card", "weights"} <= content.keys():
        raise CheckpointError(f"{path}: not a model file of medseg (format {FORMAT})")
    try:
        return ModelCard.model_validate(content["card"]), content
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: the metadata of the model file are not valid: {error.errors()[0]['msg']}"
        ) from error


def load_model(path: Path, device: torch.device | str = "cpu") -> tuple[ModelCard, UNet]:
    """The card and the network of a model file, in evaluation mode on `device`. Raises `CheckpointError`."""
    card, content = load_checkpoint(path, device)
    return card, build_network(path, card, content, device)


def build_network(path: Path, card: ModelCard, content: Mapping[str, Any], device: torch.device | str = "cpu") -> UNet:
    """The network in the content of the file at `path`, in evaluation mode. Raises `CheckpointError`."""
    with torch.random.fork_rng(devices=[]):  # the first weights are random, and thrown away
        network = card.build_network().to(device)
    try:
        network.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise CheckpointError(f"{path}: the weights do not fit the architecture: {error}") from error
    return network.eval()


def read_quantized(path: Path, content: Mapping[str, Any]) -> QuantizedNetwork | None:
    """The quantized network in `content`, or None if there is none. Raises `CheckpointError` with `path`."""
    if "int8" not in content:
        return None
    stored = content["int8"] if isinstance(content["int8"], dict) else {}
    parts: list[Any] = [stored.get(name) for name in ("graph", "weights")]
    if not all(isinstance(part, Tensor) and part.dtype == torch.uint8 and part.dim() == 1 for part in parts):
        raise CheckpointError(f"{path}: the int8 network is damaged")
    return QuantizedNetwork(*parts)


def update_card(path: Path, **fields: Any) -> ModelCard:
    """Write new values of `fields` of the card into the model file at `path`, and return its new card."""
    card, content = load_checkpoint(path)
    card = card.model_copy(update=fields)
    save_checkpoint(path, card, content["weights"])
    return card


def previous_path(path: Path) -> Path:
    """The path that keeps the previous version of the file at `path`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
