"""The machine and the libraries that figures belong to."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
import torch

from medseg.hardware.cores import count_cores, name_processor

_INSTRUCTIONS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "sve", "bf16")
_PACKAGES = ("medseg", "torch", "monai", "openvino", "nncf", "numpy", "pydicom")


def describe_hardware(device: torch.device) -> dict[str, Any]:
    """Processor, cores, instruction sets, memory, and the GPU where `device` is one."""
    capabilities = torch.cpu.get_capabilities()
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
        "gpu": _describe_gpu(device) if device.type == "cuda" else None,
        "system": platform.platform(),
    }


def name_machine(hardware: dict[str, Any]) -> str:
    """The same in a line."""
    cores, gpu = hardware["cores"], hardware["gpu"]
    parts = [hardware["processor"], f"{cores['usable']} of {cores['logical']} cores"]
    parts += [", ".join(hardware["instructions"]), f"{hardware['memory_gib']:g} GiB"]
    parts += [f"{gpu['name']}, {gpu['memory_gib']:g} GiB"] if gpu else []
    parts += [f"{name} {found}" for name in ("torch", "openvino") if (found := _find_version(name))]
    return "; ".join(filter(None, parts))


def describe_versions() -> dict[str, str | None]:
    """The version of Python and of each library that matters; None where it is not installed."""
    return {"python": platform.python_version(), **{name: _find_version(name) for name in _PACKAGES}}


def _describe_gpu(device: torch.device) -> dict[str, Any]:
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "memory_gib": round(found.total_memory / 2**30, 1),
        "capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
    }


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
