"""Finds runs whose process has ended without closing them, and marks them KILLED."""

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOST, PID, PROCESS_START = "medseg.host", "medseg.pid", "medseg.process_start"


def describe_process() -> dict[str, str]:
    """The tags that identify the process and the machine that write a run."""
    pid = os.getpid()
    return {HOST: hash_host(), PID: str(pid), PROCESS_START: find_process_start(pid) or ""}


def hash_host() -> str:
    """16 characters that identify this machine without revealing its name, the same after a reboot.

    A container counts as a separate machine, since process ids are only unique within one PID namespace.
    """
    parts = [platform.node()]
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        if Path(file).is_file():
            parts.append(Path(file).read_text().strip())
            break
    namespace = Path("/proc/self/ns/pid")
    if namespace.is_symlink():
        parts.append(str(namespace.readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def find_process_start(pid: int) -> str | None:
    """The start time of a process, as text that is unique on this machine; None if the process has ended.

    On Linux: boot id and clock ticks since boot, which do not change if the clock is set. Elsewhere: psutil's
    `create_time`. A zombie counts as ended. Empty if the process is alive but access to it is denied.
    """
    if not psutil.pid_exists(pid):
        return None
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        boot = Path("/proc/sys/kernel/random/boot_id")
        if boot.is_file():
            ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # field 22 of proc(5)
            return f"{boot.read_text().strip()}/{ticks}"
        return f"{process.create_time():.2f}"
    except (psutil.Error, OSError):
        return "" if psutil.pid_exists(pid) else None


def is_dead(tags: Mapping[str, str]) -> bool:
    """Whether the tags name a process of this machine that has ended; False if unknown."""
    if tags.get(HOST) != hash_host() or not tags.get(PID, "").isdecimal() or not tags.get(PROCESS_START):
        return False
    start = find_process_start(int(tags[PID]))
    return start is None or (start != "" and start != tags[PROCESS_START])


def is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the tags name another process of this machine that is still running."""
    if tags.get(HOST) != hash_host() or tags.get(PID) == str(os.getpid()):
        return False
    return tags.get(PID, "").isdecimal() and not is_dead(tags)


def mark_dead_runs(client: "MlflowClient") -> list[str]:
    """Mark this machine's RUNNING runs without a process, in all experiments, as KILLED, and return their ids.

    The end time of such a run is the time of its last metric.
    """
    dead = [run for run in _find_running(client) if is_dead(run.data.tags)]
    for run in dead:
        client.set_terminated(run.info.run_id, "KILLED", _find_last_sign(client, run))
    return [run.info.run_id for run in dead]


def _find_running(client: "MlflowClient") -> Iterator["Run"]:
    experiments: list[str] = []
    token = None
    while token is None or token:
        page = client.search_experiments(page_token=token)
        experiments += [experiment.experiment_id for experiment in page]
        token = page.token or ""
    query = f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{hash_host()}'"
    token = None
    while experiments and (token is None or token):
        found = client.search_runs(experiments, query, page_token=token)
        yield from found
        token = found.token or ""


def _find_last_sign(client: "MlflowClient", run: "Run") -> int:
    """Time of the last metric other than system metrics, else of the run's start, in milliseconds since 1970."""
    keys = [key for key in run.data.metrics if not key.startswith("system/")]
    times = [metric.timestamp for key in keys for metric in client.get_metric_history(run.info.run_id, key)[-1:]]
    return int(max(times, default=run.info.start_time))
