"""Setup of `torch.compile`: a permanent cache, and a test, since it needs a compiler that may be missing."""

import logging
import os

import torch
from torch import Tensor

from medseg.hardware.cache import cache_folder
from medseg.hardware.cpu import identify_processor

_logger = logging.getLogger(__name__)


def prepare_compiler(device: torch.device) -> bool:
    """Whether `torch.compile` works on `device`. If not, a warning is logged. Compiled code is cached on disk.

    Each type of CPU has its own cache, because PyTorch's cache key does not include it. If a network cannot be compiled
    later, it runs uncompiled, with a warning from PyTorch.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor" / identify_processor()))
    try:
        torch.compile(_trial)(torch.ones(64, device=device))
    except (RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        _logger.warning("torch.compile does not work on this machine; the network runs uncompiled: %s", reason)
        return False
    torch._dynamo.config.suppress_errors = True
    return True


def _trial(x: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(x) + 1
