"""What a trial costs: the operations of its training, or the time of one prediction."""

from pathlib import Path
from typing import Any

from medseg.hardware.cpu import threads_limited
from medseg.hardware.device import Hardware
from medseg.inference.backends import build_training_backend
from medseg.inference.choice import measure_backends
from medseg.inference.models import load_models
from medseg.model.checkpoint import load_checkpoint
from medseg.tracking.config import StoreConfig
from medseg.training.config import TrainingConfig

_UNLIMITED = 1e9  # TFLOP


def build_counted(train: TrainingConfig) -> dict[str, Any]:
    """Changes of `train` with which a training counts its operations: only one that has a limit of them does."""
    return {"epochs": train.num_epochs, "tflop": _UNLIMITED} if train.tflop is None else {}


def read_tflop(folder: Path) -> float:
    """TFLOP of all training steps of the finished training in `folder`, coarse steps counted as such."""
    return float(load_checkpoint(folder / "last.pt")[1]["training"]["gflop"]) / 1000


def measure_milliseconds(folder: Path, hardware: Hardware, store: StoreConfig) -> float:
    """Time of the network in `folder` for one image with PyTorch on `hardware`: the shortest of three."""
    model = load_models((str(folder / "best.pt"),), store)
    backend = build_training_backend(hardware)
    with threads_limited(hardware):
        return 1000 * measure_backends([backend], model)[backend.name]
