"""Settings for networks on a CPU: its instructions, the number of threads, and the memory of a training."""

import ctypes
import hashlib
import json
import os

import torch

from medseg.hardware.cores import name_processor
from medseg.hardware.device import Hardware

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory for later use, until the process ends. Returns whether the C library supports it (glibc).

    Otherwise each large tensor is a new mapping that the system fills with zeros page by page, in every step. This
    takes a tenth to a sixth of a training step. In return, the process keeps its peak memory, which is up to a fifth
    higher (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


def limit_threads(hardware: Hardware) -> None:
    """Limit PyTorch's CPU threads to the number of available cores, which a container's quota may reduce.

    A number set by `OMP_NUM_THREADS` is kept. Threads bound to cores are kept too, since they see only these cores.
    """
    if hardware.device.type != "cpu":
        return
    said = {"OMP_NUM_THREADS", "GOMP_CPU_AFFINITY"} & os.environ.keys()
    bound = os.environ.get("OMP_PROC_BIND", "false").lower() != "false"
    if not (said or bound) and hardware.num_cores < torch.get_num_threads():
        torch.set_num_threads(hardware.num_cores)


def identify_processor() -> str:
    """16 hex digits of a hash of the CPU's name and instructions. Code compiled for another CPU may fail or be slow."""
    instructions = sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True)
    known = [name_processor(), torch.backends.cpu.get_cpu_capability(), instructions]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
