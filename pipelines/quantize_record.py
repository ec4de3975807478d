"""What a quantisation begins with and what it leaves: float32 beside int8; the loss, and a model file."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from medseg.atomic import write_text
from medseg.data.case import CaseSet
from medseg.errors import ConfigError
from medseg.evaluation.config import QuantizationConfig
from medseg.evaluation.subject import Subject, build_subject, read_as
from medseg.inference.backends import Backend
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel, load_models
from medseg.inference.openvino_runtime import is_installed
from medseg.inference.predictor import Predictor, build_predictor
from medseg.model.checkpoint import QuantizationLoss, QuantizedNetwork, save_checkpoint
from medseg.notice import RESEARCH_USE
from pipelines.quantize_config import QuantizeConfig, QuantizeDataConfig

MODEL = "int8.pt"
LOSS = "quantization.json"
RESULTS = (MODEL, LOSS)

_CPU = torch.device("cpu")


def load_one(config: QuantizeConfig) -> LoadedModel:
    """The model. Raises `ConfigError` where it is an ensemble, or the extra is missing; `CheckpointError`."""
    if not (is_installed() and is_installed("nncf")):
        raise ConfigError("quantize_xray needs OpenVINO and NNCF: pip install 'medseg[openvino]'")
    model = load_models((config.model,), config.tracking, ModelPredictConfig())
    if len(model.networks) != 1:
        raise ConfigError(f"model: {config.model} holds {len(model.networks)} networks; they are quantised one by one")
    return model


def place_reference(model: LoadedModel, data: QuantizeDataConfig, found: CaseSet) -> Subject:
    """The model in float32 on the cases. Raises `DataError` where they have no class in common."""
    predictor = build_predictor(model, Backend("torch", _CPU, "fp32"), ModelPredictConfig())
    return build_subject(model, predictor, read_as(model.card, data), found)


def place_quantized(model: LoadedModel, quantized: QuantizedNetwork) -> Predictor:
    """The model in int8."""
    return build_predictor(
        replace(model, quantized=(quantized,)), Backend("openvino", _CPU, "int8"), ModelPredictConfig()
    )


def record_loss(loss: QuantizationLoss, model: LoadedModel, limits: QuantizationConfig, folder: Path) -> None:
    """Write the loss beside its limits, and say it."""
    content = {"model": model.digest, **loss.model_dump(), "limits": limits.model_dump(), "research_use": RESEARCH_USE}
    write_text(folder / LOSS, json.dumps(content, indent=2, allow_nan=False) + "\n")
    print(f"int8 against float32, ranges from {loss.images} training cases, {loss.cases} others:")
    for name, mean in loss.dice.items():
        print(f"  {name}: Dice lower by {mean:.4f} on average, by {loss.worst[name]:.4f} in the worst case")
    if loss.ctr is not None:
        print(f"  cardiothoracic ratio: differs by {loss.ctr:.4f} on average")


def save_model(loss: QuantizationLoss, model: LoadedModel, quantized: QuantizedNetwork, folder: Path) -> None:
    """Write the model file with its network in both precisions. Raises `StorageError`."""
    card = model.card.model_copy(update={"quantization": loss})
    save_checkpoint(folder / MODEL, card, model.networks[0].state_dict(), quantized=quantized)
    print(f"model: {folder / MODEL}\n{RESEARCH_USE}")
