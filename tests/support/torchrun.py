"""Several processes of one training, as torchrun starts them, forked from a process that has imported everything."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tests.support.processes import Forked
from tests.support.training_command import TINY

Done = list[subprocess.CompletedProcess[str]]


class Torchrun:
    """torchrun's part: the environment of processes, and the store in which they meet, kept when they start again."""

    def __init__(self, name: str = "test") -> None:
        self.name = name
        self.starts = 0
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))

    def environment(self, rank: int, count: int) -> dict[str, str]:
        return {
            "RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RUN_ID": self.name,
            "TORCHELASTIC_RESTART_COUNT": str(self.starts),
            "SLURM_JOB_ID": "7",  # as in a job of Slurm, whose tasks are not these processes
            "OMP_NUM_THREADS": "1",
        }

    @contextmanager
    def start(self, module: str, *arguments: object, count: int = 2) -> Iterator[list[Forked]]:
        """Running processes. Those that are left at the end are killed."""
        with ExitStack() as stack:
            running = [
                stack.enter_context(Forked(module, *arguments, environment=self.environment(rank, count)))
                for rank in range(count)
            ]
            self.starts += 1
            try:
                yield running
            finally:
                for process in running:
                    process.kill()

    def run(self, module: str, *arguments: object, count: int = 2) -> Done:
        """How the processes ended, and what they printed."""
        with self.start(module, *arguments, count=count) as running:
            return end(running)

    def train(self, *arguments: object, count: int = 2) -> Done:
        return self.run("pipelines.train_xray", *TINY, *arguments, count=count)


def end(running: list[Forked], timeout: float = 120) -> Done:
    """Wait for all, in order; each prints less than a pipe holds."""
    found = []
    for process in running:
        stdout, stderr = process.communicate(timeout)
        assert process.returncode is not None
        found.append(subprocess.CompletedProcess([process.module], process.returncode, stdout, stderr))
    return found
