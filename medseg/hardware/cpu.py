"""Settings for networks on a CPU: its instructions, the number of threads, and the memory of a training."""

import ctypes
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from medseg.hardware.cores import name_processor
from medseg.hardware.device import Hardware

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h
_DEFAULT_TRIM_THRESHOLD, _DEFAULT_MMAP_MAX = 128 * 1024, 65536  # mallopt(3)


@contextmanager
def freed_memory_kept() -> Iterator[bool]:
    """Within the block, memory that is freed stays with the process for the next tensor; False if libc cannot do that.

    Otherwise each large tensor is a mapping of its own, which the system fills with zeros page by page: a tenth to a
    sixth of a training step. The price is a process that stays at its peak memory, which is up to a fifth higher
    (mallopt(3) of glibc). After the block, glibc has its default settings and the memory goes back to the system.
    """
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is None:
        yield False
        return
    try:
        yield bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
    finally:
        mallopt(_MMAP_MAX, _DEFAULT_MMAP_MAX)
        mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM_THRESHOLD)
        getattr(libc, "malloc_trim", int)(0)


@contextmanager
def threads_limited(hardware: Hardware) -> Iterator[None]:
    """Within the block, PyTorch runs at most as many CPU threads as there are cores; a container may have few.

    A number set by `OMP_NUM_THREADS` is kept. Threads bound to cores are kept too, since they see only these cores.
    torchrun sets it to 1 for several processes on a machine, which nobody asked for: they share the cores.
    """
    before = torch.get_num_threads()
    is_preset = hardware.processes.local_size > 1 and os.environ.get("OMP_NUM_THREADS") == "1"
    allowed = hardware.num_cores if is_preset else count_threads(hardware.num_cores)
    if hardware.device.type != "cpu" or allowed == before:
        yield
        return
    torch.set_num_threads(allowed)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def count_threads(num_cores: int) -> int:
    """Number of threads with which PyTorch runs a network on the CPU: at most the number of cores.

    A number set by `OMP_NUM_THREADS`, and threads bound to cores, stay.
    """
    said = {"OMP_NUM_THREADS", "GOMP_CPU_AFFINITY"} & os.environ.keys()
    bound = os.environ.get("OMP_PROC_BIND", "false").lower() != "false"
    threads = torch.get_num_threads()
    return threads if said or bound else min(threads, num_cores)


def identify_processor() -> str:
    """16 hex digits of a hash of the CPU's name and instructions. Code compiled for another CPU may fail or be slow."""
    instructions = sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True)
    known = [name_processor(), torch.backends.cpu.get_cpu_capability(), instructions]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
