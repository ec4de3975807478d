"""The training command in a process of its own, on a network that trains in seconds."""

import signal
import subprocess
from pathlib import Path

import torch

from tests.support.processes import Forked, run_forked

TINY = (
    "model.width=4",
    "model.depth=2",
    "preprocess.size=[32,32]",
    "train.batch_size=4",
    "tracking.system_metrics=false",
    "seed=1",
)


def train(*arguments: object, module: str = "train_xray", timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return run_forked(f"pipelines.{module}", *TINY, *arguments, timeout=timeout)


def stop_after(line_starts: str, signum: signal.Signals, *arguments: object, module: str = "train_xray") -> int:
    """Send a signal to a training once it printed such a line, or several of them (`a|b`) in that order."""
    with Forked(f"pipelines.{module}", *TINY, *arguments) as process:
        awaited = line_starts.split("|")
        for line in process.stderr:
            if line.startswith(awaited[0]):
                awaited.pop(0)
            if not awaited:
                break
        process.send_signal(signum)
        process.communicate(timeout=240)
        assert process.returncode is not None
        return process.returncode


def run_of(store: str, run_id: str):  # type: ignore[no-untyped-def]
    from medseg.tracking.store import import_mlflow

    return import_mlflow().MlflowClient(store).get_run(run_id)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]
