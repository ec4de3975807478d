"""Tensors in memory, or on disk if they are too large for it."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from medseg.errors import StorageError

_ZEROS = 1 << 24  # bytes written at a time


def allocate(shape: tuple[int, ...], kind: torch.dtype, path: Path | None) -> Tensor:
    """A tensor of zeros in memory; with a `path`, mapped from a file there that has no name any more.

    Raises `StorageError` if the disk is full.
    """
    if path is None:
        return torch.zeros(shape, dtype=kind)
    count = int(np.prod(shape))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            _reserve(file, count * kind.itemsize)
        return torch.from_file(str(path), shared=True, size=count, dtype=kind).reshape(shape)
    except OSError as error:
        gib = count * kind.itemsize / 2**30
        raise StorageError(
            f"{path}: cannot reserve {gib:.1f} GiB for the cache of cases ({error.strerror or error}). Free disk "
            "space, or raise data.cache_gib to keep the cases in memory"
        ) from error
    finally:
        path.unlink(missing_ok=True)  # the mapping keeps the data; the disk space is free when the process ends


def _reserve(file: BinaryIO, size: int) -> None:
    """Take `size` bytes of the disk now: a mapping that meets a full disk later kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        for start in range(0, size, _ZEROS):
            file.write(bytes(min(_ZEROS, size - start)))
