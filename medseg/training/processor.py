"""How a training on a processor uses it: the memory it takes from the system, and how many threads."""

import ctypes
import os

import torch

from medseg.processors import count_cores

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Keep memory that is freed for what comes next, to the end of the process; whether the C library can (glibc).

    Otherwise each large tensor is a mapping of its own, which the system fills with zeros page by page, in every step
    anew: a tenth to a sixth of a training step. The price is a process that stays at its peak, which is up to a fifth
    higher (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


def limit_threads() -> None:
    """Let PyTorch run no more threads than `count_cores`, which knows of a container's quota; OMP_NUM_THREADS wins."""
    if "OMP_NUM_THREADS" not in os.environ and (cores := count_cores()) < torch.get_num_threads():
        torch.set_num_threads(cores)
