"""Setup of `torch.compile`: a permanent cache, and a test, since it needs a compiler that may be missing."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from medseg.hardware.cache import cache_folder
from medseg.hardware.cpu import identify_processor

_CACHE = "TORCHINDUCTOR_CACHE_DIR"
_logger = logging.getLogger(__name__)


@contextmanager
def compiling() -> Iterator[None]:
    """The block in which a network that `torch.compile` has wrapped runs.

    Compiled code is kept on disk, in a folder for each kind of CPU, which PyTorch's own key leaves out. A network that
    cannot be compiled runs uncompiled, with PyTorch's warning.
    """
    before = os.environ.get(_CACHE)
    os.environ[_CACHE] = before or str(cache_folder() / "inductor" / identify_processor())
    try:
        with torch._dynamo.config.patch(suppress_errors=True):
            yield
    finally:
        os.environ.pop(_CACHE)
        if before is not None:
            os.environ[_CACHE] = before


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` works on `device`, after a trial; if it does not, a warning says why."""
    try:
        with compiling(), torch._dynamo.config.patch(suppress_errors=False):
            torch.compile(_trial)(torch.ones(64, device=device))
    except (RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        _logger.warning("torch.compile does not work on this machine; the network runs uncompiled: %s", reason)
        return False
    return True


def _trial(x: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(x) + 1
