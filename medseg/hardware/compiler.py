"""`torch.compile`, which needs a compiler of its own: a cache that is kept, and a trial before it is relied on."""

import logging
import os

import torch
from torch import Tensor

from medseg.hardware.cache import cache_folder
from medseg.hardware.cpu import identify_processor

_logger = logging.getLogger(__name__)


def prepare_compiler(device: torch.device) -> bool:
    """Whether `torch.compile` works on `device`; where it does not, that is said. What it compiles is kept on disk.

    Apart for each kind of processor, of which PyTorch's own key says nothing. A network that it then cannot compile
    runs uncompiled, with PyTorch's warning.
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
