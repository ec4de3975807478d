"""The training command in a process of its own, on a network that trains in seconds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
TINY = (
    "model.width=4",
    "model.depth=2",
    "preprocess.size=[32,32]",
    "train.batch_size=4",
    "tracking.system_metrics=false",
    "seed=1",
)


def command(*arguments: object, module: str = "train_xray") -> list[str]:
    return [sys.executable, "-m", f"pipelines.{module}", *TINY, *map(str, arguments)]


def train(*arguments: object, module: str = "train_xray", timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, module=module), cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )


def stop_after(line_starts: str, signum: signal.Signals, *arguments: object, module: str = "train_xray") -> int:
    """Send a signal to a training once it printed such a line, or several of them (`a|b`) in that order."""
    with subprocess.Popen(
        command(*arguments, module=module), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        awaited = line_starts.split("|")
        for line in process.stderr:
            if line.startswith(awaited[0]):
                awaited.pop(0)
            if not awaited:
                break
        os.kill(process.pid, signum)
        process.communicate(timeout=240)
        return process.returncode


def run_of(store: str, run_id: str):  # type: ignore[no-untyped-def]
    from medseg.tracking.store import import_mlflow

    return import_mlflow().MlflowClient(store).get_run(run_id)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]
