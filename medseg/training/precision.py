"""Where a network runs, and in which precision."""

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers.inferer import Inferer
from torch import Tensor

from medseg.errors import ConfigError
from medseg.training.config import TrainingConfig


class AutocastInferer(Inferer):
    """Runs a network under bfloat16 autocast on any device (MONAI's own is for CUDA alone); float32 comes out."""

    def __init__(self, *, enabled: bool, channels_last: bool) -> None:
        super().__init__()
        self.enabled = enabled
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Logits, float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.enabled):
            return network(inputs.contiguous(memory_format=self.memory_format), *args, **kwargs).float()


def build_inferer(train: TrainingConfig, device: torch.device) -> AutocastInferer:
    """The forward pass in the precision that `train` asks for and `device` has."""
    enabled = train.precision == "bf16" or (train.precision == "auto" and has_bf16(device))
    return AutocastInferer(enabled=enabled, channels_last=train.channels_last)


def choose_device(train: TrainingConfig) -> torch.device:
    """The device that `train.device` names; auto takes a GPU where there is one. Raises `ConfigError`."""
    if train.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if train.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device=cuda: PyTorch finds no CUDA device; train.device=auto takes what there is")
    return torch.device(train.device)


def has_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
