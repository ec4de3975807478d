"""Origin of a run: command, commit, machine, packages."""

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psutil

from medseg.hardware.cores import count_cores, name_processor


def describe_command() -> str:
    """A sentence on how this process was started: its command line as typed in a shell, or a notebook."""
    if "ipykernel" in sys.modules:
        return "Started in a notebook."
    return f"Started by `{shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]])}`."


def describe_commit(folder: Path | None = None) -> dict[str, str]:
    """MLflow's tags of the git commit checked out in `folder` (default: this code's), and whether files were changed.

    Empty outside a checkout, before its first commit, or if git is missing or fails.
    """
    folder = Path(__file__).parent if folder is None else folder
    if _ask_git(folder, "check-ignore", str(folder)) is not None:  # a virtual environment within another checkout
        return {}
    commit = _ask_git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return {}
    tags = {"mlflow.source.git.commit": commit}
    status = _ask_git(folder, "status", "--porcelain")
    if status is not None:
        tags["mlflow.source.git.dirty"] = "true" if status else "false"
    branch = _ask_git(folder, "symbolic-ref", "--short", "HEAD")
    return tags | ({"mlflow.source.git.branch": branch} if branch else {})


def describe_environment() -> dict[str, Any]:
    """Python, system, CPU, memory, GPUs, and the version of every installed package."""
    packages = {found.metadata["Name"]: found.version for found in distributions() if found.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": name_processor(),
        "num_cores": count_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": _find_gpus(),
        "torch": packages.get("torch"),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _ask_git(folder: Path, *arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _find_gpus() -> list[str]:
    """The names of the GPUs that torch finds; empty if torch is not imported yet."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
