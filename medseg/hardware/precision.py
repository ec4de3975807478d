"""Where a network runs, and in which precision."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from medseg.errors import ConfigError


class Placed(Protocol):
    """The setting that says where a network runs: `train` and `predict` have it."""

    @property
    def device(self) -> Literal["auto", "cpu", "cuda"]: ...  # noqa: D102


class Hardware(Placed, Protocol):
    """The settings that say what a network runs on in training."""

    @property
    def precision(self) -> Literal["auto", "bf16", "fp32"]: ...  # noqa: D102

    @property
    def channels_last(self) -> bool: ...  # noqa: D102


class AutocastInferer:
    """Runs a network under bfloat16 autocast on any device (MONAI's own is for CUDA alone); float32 comes out.

    What MONAI's engines take as an `Inferer`; it is none, since prediction starts without MONAI.
    """

    def __init__(self, *, enabled: bool, channels_last: bool) -> None:
        self.enabled = enabled
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Logits, float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.enabled):
            return network(inputs.contiguous(memory_format=self.memory_format), *args, **kwargs).float()


def build_inferer(hardware: Hardware, device: torch.device) -> AutocastInferer:
    """The forward pass in the precision that is asked for and `device` has."""
    enabled = hardware.precision == "bf16" or (hardware.precision == "auto" and has_bf16(device))
    return AutocastInferer(enabled=enabled, channels_last=hardware.channels_last)


def choose_device(hardware: Placed) -> torch.device:
    """The device that is asked for; auto takes a GPU where there is one. Raises `ConfigError`."""
    if hardware.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: PyTorch finds no CUDA device; device=auto takes what there is")
    return torch.device(hardware.device)


def has_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
