"""What a network runs on, chosen once for an output folder."""

import sys
from dataclasses import dataclass

import torch

from medseg.inference.config import FolderPredictConfig
from medseg.inference.journal import Journal
from medseg.training.precision import AutocastInferer, build_inferer, choose_device, has_bf16

_RUN = b""  # the path under which the journal keeps what concerns no single file


@dataclass(frozen=True)
class Backend:
    """A device and a precision."""

    device: torch.device
    inferer: AutocastInferer

    @property
    def name(self) -> str:
        """As `torch/cpu/bf16`."""
        return f"torch/{self.device.type}/{'bf16' if self.inferer.enabled else 'fp32'}"


def build_backend(config: FolderPredictConfig, journal: Journal) -> Backend:
    """The backend that `config` asks for; where it leaves the choice, the journal's, else the best of this machine.

    Masks of one folder thus come from one backend. Raises `ConfigError` for a device that is not there.
    """
    earlier = journal.find(_RUN)
    name = earlier["backend"] if earlier else ""
    asked = config
    if name:
        _, device, precision = name.split("/")
        recorded = {"device": device, "precision": precision}
        asked = config.model_copy(update={key: v for key, v in recorded.items() if getattr(config, key) == "auto"})
        if not _is_here(asked):
            print(f"{name}, which the journal says, is not to be had on this machine", file=sys.stderr)
            asked = config
    device = choose_device(asked)
    backend = Backend(device, build_inferer(asked, device))
    if backend.name != name:
        journal.append(_RUN, {"backend": backend.name})
    return backend


def _is_here(asked: FolderPredictConfig) -> bool:
    if asked.device == "cuda" and not torch.cuda.is_available():
        return False
    return asked.precision != "bf16" or has_bf16(torch.device("cpu" if asked.device == "auto" else asked.device))
