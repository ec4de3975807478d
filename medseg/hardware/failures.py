"""What ends the work of several processes, in words, and which of them says it."""

import os
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from medseg.errors import ProcessError

_LATE = "timed out", "timeout", "timed-out"
_ENDED = "gloo", "connection closed", "connection reset", "socket", "pair closure"


def explain_failure(error: BaseException, timeout_seconds: float) -> BaseException:
    """A `ProcessError` if PyTorch says that another process has ended or does not answer, else `error` itself."""
    text = str(error).lower()
    if not isinstance(error, RuntimeError) or not (isinstance(error, dist.DistError) or _has(text, _LATE + _ENDED)):
        return error
    if _has(text, _LATE):
        return ProcessError(
            f"a process of this training has not answered for {timeout_seconds:g} seconds. Look for what it waits for "
            "(a disk, a GPU, the network), or raise train.timeout_seconds. Start again with train.resume=true"
        )
    return ProcessError(
        "another process of this training has ended. The messages above, or the log of its machine, say why. Perhaps "
        "the memory was full. Start again with train.resume=true"
    )


def has_spoken(rank: int) -> bool:
    """Whether another process has said why all of them end; the first one that asks has to.

    They count in the store of torchrun, which is a new one after a restart. If that cannot be reached, the first
    process speaks.
    """
    try:
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(*address, is_master=False, timeout=timedelta(seconds=10))
        return store.add("medseg/failures", 1) > 1
    except (KeyError, ValueError, RuntimeError):
        return rank != 0


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)
