"""Quantization to int8: calibrates on training cases, measures the loss on other cases, refuses too large a loss."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from medseg.atomic import write_text
from medseg.data.case import Case, CaseSet, as_text
from medseg.data.config import CasesConfig
from medseg.data.findings import Findings
from medseg.errors import ConfigError, DataError, QuantizationError
from medseg.evaluation.candidate import Candidate, ReadCase, build_candidate, map_cases, read_as
from medseg.evaluation.config import QuantizationConfig
from medseg.hardware.device import find_hardware
from medseg.inference.backends import Backend
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel, load_models
from medseg.inference.openvino_runtime import is_installed
from medseg.inference.predictor import Predictor, build_predictor
from medseg.metrics.measurements import CTR, choose_measurements
from medseg.metrics.overlap import measure_overlap
from medseg.model.checkpoint import QuantizationLoss, QuantizedNetwork, save_checkpoint
from medseg.notice import RESEARCH_USE
from medseg.tracking.config import StoreConfig

MODEL = "int8.pt"
LOSS = "quantization.json"
RESULTS = (MODEL, LOSS)
"""Files that a quantization writes into its folder."""


def load_single(address: str, tracking: StoreConfig) -> LoadedModel:
    """The model at `address`. Raises `ConfigError` for an ensemble or a missing extra, else as `load_models` does."""
    if not (is_installed() and is_installed("nncf")):
        raise ConfigError("medseg quantize needs OpenVINO and NNCF: pip install 'medseg[openvino]'")
    model = load_models((address,), tracking)
    if len(model.networks) != 1:
        raise ConfigError(f"model: {address} holds {len(model.networks)} networks. Quantize each model file separately")
    return model


def place_float32(model: LoadedModel, found: CaseSet, data: CasesConfig) -> Candidate:
    """The model in float32 on the cases. Raises `DataError` if they have no class in common."""
    predictor = build_predictor(model, Backend("torch", find_hardware("cpu"), "fp32"), ModelPredictConfig())
    return build_candidate(model, predictor, read_as(model.card, data), found)


def place_int8(model: LoadedModel, quantized: QuantizedNetwork) -> Predictor:
    """A predictor that runs the model in int8."""
    backend = Backend("openvino", find_hardware("cpu"), "int8")
    return build_predictor(replace(model, quantized=(quantized,)), backend, ModelPredictConfig())


def gather_images(candidate: Candidate, cases: Sequence[Case], config: QuantizationConfig) -> list[Tensor]:
    """The network's inputs, `(channel, rows, columns)`, of cases that the model was trained on.

    Always chooses the same cases. Raises `DataError` if there are none.
    """
    shuffled = random.Random(0).sample(list(cases), len(cases))
    images: list[Tensor] = []
    for case in shuffled:
        if len(images) == config.num_images:
            break
        read = candidate.read(case)
        if candidate.tell_seen(read) == "training":
            images.append(read.shown.input)
    if not images:
        raise DataError(
            f"{as_text(candidate.data.root)}: holds none of the radiographs that the model was trained on, but int8 "
            "must be calibrated with them. Set data.root to the data set that the model was trained on"
        )
    return images


def measure_loss(
    candidate: Candidate, quantized: Predictor, cases: Sequence[Case], num_images: int
) -> QuantizationLoss:
    """The loss of the masks of `quantized` compared with the masks of `candidate`, at the references' size.

    Uses all cases that the model was not trained on. Raises `DataError` if none of them has a reference for a class.
    """

    def measure(read: ReadCase, predicted: Tensor) -> Tensor:
        """One row per predictor, `(2, class + 1)`: Dice of each class, then the cardiothoracic ratio."""
        maps = (predicted, quantized.predict(read.shown.input[None])[0])
        return torch.stack([_measure(candidate, read, candidate.predictor.masks(one, read.frame)) for one in maps])

    findings = Findings(candidate.data.root)
    found = map_cases(candidate, cases, measure, lambda read: candidate.tell_seen(read) != "training", findings)
    loss = torch.stack([case[0] - case[1] for case in found]) if found else torch.empty(0, len(candidate.classes) + 1)
    dice, ctr = loss[:, :-1], average_difference(found)
    for name, known in zip(candidate.classes, (~dice.isnan()).any(dim=0).tolist(), strict=True):
        if not known:
            raise DataError(
                f"{as_text(candidate.data.root)}: the model was trained on every case that has a mask of {name}. The "
                "accuracy lost with int8 must be measured on other cases. Add cases that the model was not trained on"
            )
    return QuantizationLoss(
        images=num_images,
        cases=len(found),
        dice=dict(zip(candidate.classes, dice.nanmean(dim=0).tolist(), strict=True)),
        worst=dict(zip(candidate.classes, dice.nan_to_num(nan=-1.0).amax(dim=0).tolist(), strict=True)),
        ctr=ctr,
    )


def average_difference(found: Sequence[Tensor]) -> float | None:
    """The mean absolute difference of cardiothoracic ratios, the last column of each case's `(2, ...)`.

    Averages over cases with a ratio from at least one network; a case with only one ratio counts 1. None if no case has
    a ratio.
    """
    pairs = torch.stack([case[:, -1] for case in found]) if found else torch.empty(0, 2)
    pairs = pairs[~pairs.isnan().all(dim=1)]
    return (pairs[:, 0] - pairs[:, 1]).abs().nan_to_num(nan=1.0).mean().item() if len(pairs) else None


def check_loss(loss: QuantizationLoss, config: QuantizationConfig) -> None:
    """Raise `QuantizationError` that lists every loss above its limit."""
    limits = (("mean", loss.dice, config.max_dice_loss), ("worst", loss.worst, config.max_case_loss))
    found = [
        f"{name}: {which} loss of Dice {value:.4f}, limit {limit:g}"
        for which, losses, limit in limits
        for name, value in losses.items()
        if value > limit
    ]
    if loss.ctr is not None and loss.ctr > config.max_ctr_difference:
        found.append(f"cardiothoracic ratio: mean difference {loss.ctr:.4f}, limit {config.max_ctr_difference:g}")
    if found:
        raise QuantizationError(f"int8 loses too much on {loss.cases} cases: {'; '.join(found)}")


def write_loss(loss: QuantizationLoss, model: LoadedModel, limits: QuantizationConfig, folder: Path) -> None:
    """Write `quantization.json`: the loss and its limits."""
    content = {"model": model.digest, **loss.model_dump(), "limits": limits.model_dump(), "research_use": RESEARCH_USE}
    write_text(folder / LOSS, json.dumps(content, indent=2, allow_nan=False) + "\n")


def describe_loss(loss: QuantizationLoss) -> str:
    """The loss as text: a line per class, and one for the cardiothoracic ratio if known."""
    lines = [f"int8 compared with float32 on {loss.cases} cases, calibrated on {loss.images} training cases:"]
    lines += [
        f"  {name}: Dice lower by {mean:.4f} on average, by {loss.worst[name]:.4f} in the worst case"
        for name, mean in loss.dice.items()
    ]
    if loss.ctr is not None:
        lines.append(f"  cardiothoracic ratio: differs by {loss.ctr:.4f} on average")
    return "\n".join(lines)


def save_quantized(loss: QuantizationLoss, model: LoadedModel, quantized: QuantizedNetwork, folder: Path) -> Path:
    """Write `int8.pt`, the model with its network in both precisions, and return its path. Raises `StorageError`."""
    card = model.card.model_copy(update={"quantization": loss})
    save_checkpoint(folder / MODEL, card, model.networks[0].state_dict(), quantized=quantized)
    return folder / MODEL


def _measure(candidate: Candidate, read: ReadCase, masks: Tensor) -> Tensor:
    masks = masks.clone()
    own = masks[candidate.channels] = read.hide(masks[candidate.channels])
    dice, _, _ = measure_overlap(own[None], read.reference[None], read.present[None])
    ratio = None
    if CTR in choose_measurements(candidate.card.classes):
        ratio = CTR.measure(*(masks[candidate.card.classes.index(name)].numpy() for name in CTR.classes))
    return torch.cat([dice[0], torch.tensor([torch.nan if ratio is None else ratio.value])])
