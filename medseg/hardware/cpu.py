"""How networks use a processor: its instructions, how many threads, the memory that a training takes."""

import ctypes
import hashlib
import json
import os

import torch

from medseg.hardware.cores import name_processor
from medseg.hardware.device import Hardware

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Keep memory that is freed for what comes next, to the end of the process; whether the C library can (glibc).

    Otherwise each large tensor is a mapping of its own, which the system fills with zeros page by page, in every step
    anew: a tenth to a sixth of a training step. The price is a process that stays at its peak, which is up to a fifth
    higher (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


def limit_threads(hardware: Hardware) -> None:
    """Let PyTorch run no more threads on a CPU than there are cores, of which a container's quota may leave few.

    A number that `OMP_NUM_THREADS` gives stays, and so do threads that are bound to cores: these see no other core.
    """
    if hardware.device.type != "cpu":
        return
    said = {"OMP_NUM_THREADS", "GOMP_CPU_AFFINITY"} & os.environ.keys()
    bound = os.environ.get("OMP_PROC_BIND", "false").lower() != "false"
    if not (said or bound) and hardware.num_cores < torch.get_num_threads():
        torch.set_num_threads(hardware.num_cores)


def identify_processor() -> str:
    """16 hex digits over its name and instructions: code compiled for others is slow here, wrong, or cannot run."""
    instructions = sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True)
    known = [name_processor(), torch.backends.cpu.get_cpu_capability(), instructions]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
