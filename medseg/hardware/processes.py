"""The processes of one training, which torchrun starts: what they tell each other through `ignite.distributed`.

A process alone does nothing of this, and imports nothing for it. Decisions and cases travel between CPUs (gloo), so
that no decision waits for a GPU; only what is computed on GPUs travels between them (NCCL).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from medseg.errors import MedsegError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])
_CHUNK = 1 << 26  # bytes sent at a time, so that no message comes near the time limit
_VARIABLES = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"


@dataclass(frozen=True)
class Processes:
    """Place of a process among those of a command. All of them must call the same methods in the same order."""

    rank: int = 0
    """Number of this process, from 0. The first process owns all files and records, and decides."""
    size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of this process on its machine, and of its GPU."""
    local_size: int = 1
    """Number of processes on this machine, which share its cores and memory."""
    group: Any = field(default=None, repr=False, compare=False)
    """PyTorch's process group between CPUs."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """What torchrun says of this process. Without torchrun, or with one process: alone."""
        given = [variables.get(name, "") for name in _VARIABLES]
        if not all(map(str.isdecimal, given)) or int(given[1]) < 2:
            return cls()
        return cls(*map(int, given))

    @property
    def is_first(self) -> bool:
        """Whether this process owns files and records, and decides."""
        return self.rank == 0

    def only_first(self, function: F) -> F | Callable[..., None]:
        """`function` in the first process; in the others a function that does nothing."""
        return function if self.is_first else lambda *_, **__: None

    def lead(self, function: Callable[[], T]) -> T:
        """The result of `function`, which the first process calls. Its `MedsegError` is raised in every process."""
        if self.size == 1:
            return function()
        import torch.distributed as dist

        own: list[Any] = [None, None]
        if self.is_first:
            try:
                own[0] = function()
            except MedsegError as error:
                own[1] = error
        received = list(own)
        dist.broadcast_object_list(received, 0, self.group)
        result, failure = own if self.is_first else received
        if failure is not None:
            raise failure
        return result  # type: ignore[no-any-return]

    @contextmanager
    def first(self, manager: AbstractContextManager[T], stand_in: T) -> Iterator[T]:
        """A block within `manager`, which the first process alone enters. The others have `stand_in`."""
        entered: list[T] = []
        with ExitStack() as stack:
            self.lead(lambda: entered.append(stack.enter_context(manager)))
            yield entered[0] if entered else stand_in

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block at whose end the `MedsegError` of any process is raised in every process."""
        if self.size == 1:
            yield
            return
        own = None
        try:
            yield
        except MedsegError as error:
            own = error
        for found in self.gather(own):
            if found is not None:
                raise found

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in order of rank."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, self.group)
        return values

    def collect(self, value: T) -> list[T]:
        """The values of all processes in the first one; nothing in the others."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(value, values, 0, self.group)
        return values or []

    def maximum(self, number: float) -> float:
        """The greatest of the numbers of all processes."""
        return max(self.gather_numbers(number))

    def decide(self, number: float) -> float:
        """The number of the first process."""
        return self.gather_numbers(number)[0]

    def gather_numbers(self, number: float) -> list[float]:
        """The numbers of all processes, in order of rank."""
        if self.size == 1:
            return [number]
        import torch
        import torch.distributed as dist

        numbers = torch.zeros(self.size, dtype=torch.float64)
        numbers[self.rank] = number
        dist.all_reduce(numbers, group=self.group)
        return numbers.tolist()

    def add(self, tensor: "Tensor") -> "Tensor":
        """The sum of the tensors of all processes, on their devices; the same tensor alone."""
        if self.size == 1:
            return tensor
        import torch.distributed as dist

        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def share(self, count: int, rank: int | None = None) -> slice:
        """The part of `count` things that is for this process, or for `rank`: blocks whose sizes differ by one."""
        rank = self.rank if rank is None else rank
        return slice(rank * count // self.size, (rank + 1) * count // self.size)

    def complete(self, tensor: "Tensor") -> None:
        """Fill in the rows of the others; each process has filled the rows of its share."""
        if self.size == 1 or not tensor.numel():
            return
        import torch.distributed as dist

        step = max(1, _CHUNK // tensor[0].nbytes)
        for rank in range(self.size):
            rows = tensor[self.share(len(tensor), rank)]
            for start in range(0, len(rows), step):
                dist.broadcast(rows[start : start + step], rank, self.group)


ALONE = Processes()


@contextmanager
def joined(device: str, timeout_seconds: float) -> Iterator[Processes]:
    """The block in which the processes that torchrun started work together; `ALONE` without torchrun.

    GPUs are connected by NCCL, CPUs by gloo. A process that has ended, or has not answered for `timeout_seconds`,
    raises `ProcessError` in the others. One process alone has `error.told` false for an error that several meet.
    """
    processes = Processes.from_environment()
    if processes.size == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    from medseg.hardware.failures import explain_failure, has_spoken, open_store

    is_gpu = device != "cpu" and torch.cuda.is_available()
    seconds = timedelta(seconds=timeout_seconds)
    store = None
    try:
        store = open_store(processes.rank, processes.size, seconds)
        if is_gpu:
            torch.cuda.set_device(processes.local_rank)
        # the exchange between CPUs reaches its limit first: NCCL would end the process without an exception
        backend, limit = ("nccl", 2 * seconds) if is_gpu else ("gloo", seconds)
        dist.init_process_group(backend, None, limit, processes.size, processes.rank, store)
        _tell_ignite()
        group = dist.new_group(backend="gloo", timeout=seconds)
        yield replace(processes, group=group)
        dist.barrier(group)
    except BaseException as error:
        found = explain_failure(error, timeout_seconds)
        if isinstance(found, MedsegError):
            found.told = has_spoken(store, processes.rank)
        if found is error:
            raise
        raise found from error
    finally:
        _leave()


def _tell_ignite() -> None:
    """Let Ignite know the process group now: it would ask all processes at some later call, which not all make.

    With SLURM_JOB_ID it would take the numbers of Slurm's tasks for those of torchrun's processes.
    """
    import ignite.distributed as idist

    job = os.environ.pop("SLURM_JOB_ID", None)
    try:
        idist.sync()
    finally:
        if job is not None:
            os.environ["SLURM_JOB_ID"] = job


def _leave() -> None:
    import ignite.distributed as idist
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
    idist.sync()  # Ignite, too, is alone again
