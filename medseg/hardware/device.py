"""The hardware of a command, found once and passed on: device, precision, memory layout of tensors, CPU cores."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from medseg.errors import ConfigError
from medseg.hardware.cores import count_cores
from medseg.hardware.processes import ALONE, Processes

_SIDE, _ROUNDS = 768, 5  # of the matrices whose products compare bfloat16 with float32, in a tenth of a second


@dataclass(frozen=True)
class Hardware:
    """A device, and how a network runs on it."""

    device: torch.device
    precision: str
    """`bf16` or `fp32`: as requested, else the faster one on this device."""
    has_bf16: bool
    """Whether the device has bfloat16 instructions."""
    channels_last: bool
    """Whether the channels of images and weights are innermost in memory."""
    num_cores: int
    """Number of CPU cores that this process may use."""
    processes: Processes = ALONE
    """The processes of the command. Those of one machine share its cores."""

    @property
    def memory_format(self) -> torch.memory_format:
        """PyTorch's memory format of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def find_hardware(
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "bf16", "fp32"] = "auto",
    channels_last: bool = True,
    processes: Processes = ALONE,
) -> Hardware:
    """The requested hardware of this machine. `auto` chooses a GPU if there is one, and bfloat16 if it is faster.

    Each of several `processes` has a GPU of its own; the first one decides on the precision. Raises `ConfigError` if a
    GPU is requested but not found, or if there are fewer than processes.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: PyTorch finds no CUDA device; set device=auto or device=cpu")
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind == "cuda" and processes.local_size > (count := torch.cuda.device_count()):
        raise ConfigError(
            f"{processes.local_size} processes on this machine, but PyTorch finds {count} GPU{'s' * (count > 1)}; "
            f"start {count} with torchrun --nproc-per-node={count}, or set train.device=cpu"
        )
    found = torch.device(kind, processes.local_rank) if kind == "cuda" and processes.size > 1 else torch.device(kind)
    has_bf16 = _has_bf16(found)
    if precision == "auto":
        precision = processes.lead(lambda: _choose_precision(kind, has_bf16))
    num_cores = max(1, count_cores() // processes.local_size)
    return Hardware(found, precision, has_bf16, channels_last, num_cores, processes)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _choose_precision(kind: str, has_bf16: bool) -> Literal["bf16", "fp32"]:
    return "bf16" if has_bf16 and (kind == "cuda" or _multiplies_faster_in_bf16()) else "fp32"


@cache
def _multiplies_faster_in_bf16() -> bool:
    """Whether the CPU multiplies matrices faster in bfloat16: by 2 to 3 on some, but at half the speed on others."""
    factors = {kind: torch.ones(_SIDE, _SIDE, dtype=kind) for kind in (torch.bfloat16, torch.float32)}
    shortest = dict.fromkeys(factors, float("inf"))
    for _ in range(_ROUNDS):
        for kind, matrix in factors.items():
            started = time.perf_counter()
            matrix @ matrix
            shortest[kind] = min(shortest[kind], time.perf_counter() - started)
    return shortest[torch.bfloat16] < shortest[torch.float32]


class AutocastInferer:
    """Runs a network on any device, under bfloat16 autocast if requested, with float32 outputs. MONAI's needs CUDA.

    MONAI's engines accept it as an `Inferer`. It is not a subclass, because prediction does not import MONAI.
    """

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """The logits, float32; float64 if the network computes in it."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.hardware.precision == "bf16"):
            logits = network(inputs.contiguous(memory_format=self.hardware.memory_format), *args, **kwargs)
        return logits if logits.dtype == torch.float64 else logits.float()
