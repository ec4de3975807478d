"""The command in a process of its own, on a network that trains in seconds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
TINY = (
    "model.width=4",
    "model.depth=2",
    "preprocess.size=[32,32]",
    "train.batch_size=4",
    "tracking.system_metrics=false",
    "seed=1",
)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pipelines.train_xray", *TINY, *map(str, arguments)]


def train(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def stop_after(line_start: str, signum: signal.Signals, *arguments: object) -> int:
    """Send a signal to a training once it printed such a line; its exit code."""
    with subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(line_start):
                break
        os.kill(process.pid, signum)
        process.communicate(timeout=60)
        return process.returncode


def run_of(store: str, run_id: str):  # type: ignore[no-untyped-def]
    from medseg.tracking.store import import_mlflow

    return import_mlflow().MlflowClient(store).get_run(run_id)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]
