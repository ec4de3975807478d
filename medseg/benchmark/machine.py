"""Describes the machine and the libraries of a measurement."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
import torch

from medseg.hardware.cores import count_cores, name_processor

_INSTRUCTIONS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "sve", "bf16")
_PACKAGES = ("medseg", "torch", "monai", "openvino", "nncf", "numpy", "pydicom")


def describe_machine(device: torch.device) -> dict[str, Any]:
    """CPU, cores, instruction sets, memory, and the GPU if `device` is one."""
    capabilities = torch.cpu.get_capabilities()
    gpu = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return {
        "processor": name_processor(),
        "cores": {
            "physical": psutil.cpu_count(logical=False),
            "logical": psutil.cpu_count(),
            "usable": count_cores(),
            "torch_threads": torch.get_num_threads(),
        },
        "instructions": [name for name in _INSTRUCTIONS if capabilities.get(name)],
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu
        and {
            "name": gpu.name,
            "memory_gib": round(gpu.total_memory / 2**30, 1),
            "capability": f"{gpu.major}.{gpu.minor}",
            "cuda": torch.version.cuda,
        },
        "system": platform.platform(),
    }


def name_machine(machine: dict[str, Any]) -> str:
    """The description of a machine in one line."""
    cores, gpu, versions = machine["cores"], machine["gpu"], describe_versions()
    parts = [machine["processor"], f"{cores['usable']} of {cores['logical']} cores"]
    parts += [", ".join(machine["instructions"]), f"{machine['memory_gib']:g} GiB"]
    parts += [f"{gpu['name']}, {gpu['memory_gib']:g} GiB"] if gpu else []
    parts += [f"{name} {versions[name]}" for name in ("torch", "openvino") if versions[name]]
    return "; ".join(filter(None, parts))


def describe_versions() -> dict[str, str | None]:
    """The versions of Python and of the main libraries; None for a library that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
