"""What ends the work of several processes, in words, and which of them says it."""

import os
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

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


def open_store(rank: int, size: int, timeout: timedelta) -> Store:
    """The store in which processes find each other: torchrun's, or else one of the first process.

    torchrun 2.13 keeps it when it starts processes again, with the addresses of those that have ended. Each start
    therefore has names of its own there. Raises `RuntimeError` if nobody answers.
    """
    is_host = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(*address, is_master=is_host, wait_for_workers=False, timeout=timeout)
    return PrefixStore(f"medseg/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{size}", store)


def has_spoken(store: Store | None, rank: int) -> bool:
    """Whether another process has said why all of them end; the first one that asks has to.

    They count in the `store`. If that cannot be reached, the first process speaks.
    """
    try:
        return rank != 0 if store is None else store.add("failures", 1) > 1
    except RuntimeError:
        return rank != 0


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)
