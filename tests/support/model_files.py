"""Model files that need no training: a small network of fixed random weights, cut so that each class covers a share."""

from pathlib import Path
from typing import Any

import torch

from medseg.data.config import PreprocessConfig
from medseg.model.checkpoint import Accepts, ModelCard, Reading, save_checkpoint
from medseg.model.config import ModelConfig

CLASSES = ("heart", "lungs")


def write_model(path: Path, classes: tuple[str, ...] = CLASSES, seed: int = 0, **card: Any) -> Path:
    """A model whose masks change when the picture is turned, mirrored or inverted; each covers roughly half of it."""
    torch.manual_seed(seed)
    described = ModelCard(
        classes=classes,
        model=ModelConfig(width=4, depth=2, dropout=0.0),
        preprocess=card.pop("preprocess", PreprocessConfig(size=(32, 32))),
        accepts=card.pop("accepts", Accepts(modalities=("CR", "DX"), body_parts=("CHEST",), views=("AP", "PA"))),
        **card,
    )
    network = described.build_network().eval()
    rows, columns = described.preprocess.size
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(0, 1, columns), indexing="ij")
    with torch.inference_mode():
        logits = network((0.6 * y + 0.4 * x * (1 - y))[None, None])
        *_, bias = network.parameters()  # of the last convolution
        bias -= logits[0].flatten(1).median(dim=1).values
    save_checkpoint(path, described, network.state_dict())
    return path


def write_color_model(path: Path) -> Path:
    """A model of one class that takes color images."""
    torch.manual_seed(0)
    card = ModelCard(
        classes=("heart",),
        model=ModelConfig(width=4, depth=2, dropout=0.0),
        preprocess=PreprocessConfig(size=(32, 32)),
        reading=Reading(color="rgb"),
    )
    save_checkpoint(path, card, card.build_network().state_dict())
    return path
